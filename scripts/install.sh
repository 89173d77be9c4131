#!/bin/sh
# Installs pinned requirements, then the project itself (editable, so that the command always
# runs the tree that it was made from). Wheels only, hashes required: nothing is built or run
# that the requirement files do not name. Writes inside FOLDER alone.
#
# usage: scripts/install.sh FOLDER REQUIREMENTS.txt
set -eu
folder=${1:?usage: scripts/install.sh FOLDER REQUIREMENTS.txt}
requirements=${2:?usage: scripts/install.sh FOLDER REQUIREMENTS.txt}

unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_ROOT PIP_NO_BINARY PIP_REQUIREMENT \
    PIP_CONSTRAINT || true
export PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_REQUIRE_VIRTUALENV=0
export PIP_ROOT_USER_ACTION=ignore
TMPDIR=$(cd "$folder" && pwd)/tmp
export TMPDIR
mkdir -p "$TMPDIR"
trap 'rm -rf "$TMPDIR"' EXIT

# pip complains at length about a cache that it cannot write; it does as well without.
cache=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}
while [ ! -e "$cache" ]; do
    cache=$(dirname "$cache")
done
[ -w "$cache" ] || export PIP_NO_CACHE_DIR=1

python="$folder/bin/python"
pip() {
    "$python" -I -m pip install --quiet "$@"
}

if ! pip --require-hashes --only-binary :all: -r "$requirements"; then
    echo "custodes: $requirements could not be installed; pip says why above." \
        "Put that right and run make again." >&2
    exit 1
fi
pip --no-index --no-deps --no-build-isolation --editable .
