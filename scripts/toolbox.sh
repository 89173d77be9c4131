#!/bin/sh
# Installs what tasks find in the sandbox besides git and Python: FOLDER/share/custodes/toolbox,
# pinned, wheels only, for the system's Python, which is the one that sandboxes see. Does nothing
# when it is there already. Never fails: a scenario that needs it is refused, with the reason.
#
# usage: scripts/toolbox.sh FOLDER REQUIREMENTS.txt
set -u
folder=${1:?usage: scripts/toolbox.sh FOLDER REQUIREMENTS.txt}
requirements=${2:?usage: scripts/toolbox.sh FOLDER REQUIREMENTS.txt}
target=$folder/share/custodes/toolbox
inside=/opt/tools

refuse() {
    echo "custodes: $1"
    echo "custodes: until then scenarios whose tasks need more than git and Python are refused"
    exit 0
}

# The same candidates as the package's: below /usr, since only that is seen inside.
system=
for candidate in ${CUSTODES_SYSTEM_PYTHON:-/usr/bin/python3 /usr/local/bin/python3}; do
    version=$("$candidate" -I -c 'import sys
assert sys.version_info >= (3, 10)
print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    system=$candidate
    break
done
[ -n "$system" ] || refuse "expected Python 3.10 or later at /usr/bin/python3 or \
/usr/local/bin/python3 for the toolbox, found none; install it (Debian, Ubuntu: apt-get install python3)"

digest=$("$folder/bin/python" -I -c 'import hashlib, sys
print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$requirements") || exit 0
manifest="{\"schema\": \"custodes.toolbox/1\", \"python\": \"$system\", \"version\": \"$version\", \
\"requirements\": \"$digest\"}"
[ "$(cat "$target/toolbox.json" 2>/dev/null)" = "$manifest" ] && exit 0

echo "custodes: installing $requirements for $system $version, the sandbox's toolbox"
unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_ROOT PIP_NO_BINARY PIP_REQUIREMENT \
    PIP_CONSTRAINT || true
export PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_REQUIRE_VIRTUALENV=0
export PIP_ROOT_USER_ACTION=ignore
mkdir -p "$folder/share/custodes"
fresh=$(mktemp -d "$folder/share/custodes/toolbox.XXXXXX") || exit 0
trap 'rm -rf "$fresh"' EXIT
TMPDIR=$fresh/tmp
export TMPDIR
mkdir "$TMPDIR" "$fresh/bin"

# pip complains at length about a cache that it cannot write; it does as well without.
cache=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}
while [ ! -e "$cache" ]; do
    cache=$(dirname "$cache")
done
[ -w "$cache" ] || export PIP_NO_CACHE_DIR=1

"$folder/bin/python" -I -m pip --python "$system" install --quiet --no-compile \
    --require-hashes --only-binary :all: --target "$fresh/lib" -r "$requirements" ||
    refuse "$requirements could not be installed; pip says why above. Put that right and run make toolbox."
# Compiled files hold the path that they are seen at inside, not this one.
"$system" -I -m compileall -q -s "$fresh/lib" -p "$inside/lib" \
    --invalidation-mode unchecked-hash "$fresh/lib" ||
    refuse "the toolbox could not be compiled by $system; put that right and run make toolbox."
mv "$fresh/lib/bin/pytest" "$fresh/bin/pytest"
rm -rf "$fresh/lib/bin" "$TMPDIR"
ln -s "$system" "$fresh/bin/python3"
ln -s python3 "$fresh/bin/python"
printf '%s\n' "$manifest" >"$fresh/toolbox.json"
chmod -R a+rX,go-w "$fresh"
rm -rf "$target"
mv "$fresh" "$target"
