@echo off
rem Compiles and lints this package, and checks what its setup.py says.
cd /d "%~dp0"
python -m compileall -q acmecorp\dt\events || exit /b 1
python -m ruff check --no-cache acmecorp\dt\events setup.py || exit /b 1
python setup.py -q check -mrs || exit /b 1
