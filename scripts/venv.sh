#!/bin/sh
# Makes the virtual environment, or keeps the one that is there if it still works from here.
#
# usage: scripts/venv.sh FOLDER
set -eu
here=$(dirname "$0")
folder=${1:?usage: scripts/venv.sh FOLDER}

# A copied or moved environment runs, but its commands point at the old place; one whose
# interpreter was upgraded or removed does not run at all.
works() {
    [ -x "$folder/bin/python" ] && "$folder/bin/python" -I - "$folder" 2>/dev/null <<'PY'
import os, sys
import pip  # noqa: F401
folder = os.path.realpath(sys.argv[1])
script = os.path.join(folder, "bin", "pip")
with open(script, "rb") as stream:
    at_home = os.fsencode(folder) in stream.read(4096)
sys.exit(0 if sys.version_info >= (3, 11) and os.path.realpath(sys.prefix) == folder
         and at_home else 1)
PY
}

works && exit 0
python=$("$here/find_python.sh")
[ -e "$folder" ] && echo "custodes: $folder does not work from here; making it again"
"$python" -m venv --clear "$folder"
