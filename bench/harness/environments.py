"""The peers' environments: one for each file in bench/requirements, made once and again
when its file changes."""
import pathlib
import shutil
import subprocess
import sys

REQUIREMENTS = pathlib.Path(__file__).resolve().parents[1] / "requirements"


def make(work, say):
    """Make what is not there; gives name -> folder."""
    return {f.stem if f.suffix == ".txt" else f.name: one(work / "env" / f.stem, f, say)
            for f in sorted(REQUIREMENTS.glob("*.txt"))}


def one(folder, wanted, say):
    stamp = folder / "made-of.txt"
    if stamp.exists() and stamp.read_text() == wanted.read_text():
        return folder
    say(f"set up {folder.name}")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted],
                   check=True)
    stamp.write_text(wanted.read_text())
    return folder
