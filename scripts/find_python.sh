#!/bin/sh
# Prints the interpreter that the virtual environment is made with: $PYTHON if set, else the
# first that really runs, is CPython 3.11 or later, and can make virtual environments. Without
# one: a single line that says what was found and what to install, and exit code 2.
set -u

# Prints "ok", or what is wrong, in a few words. Presence proves nothing: version managers put
# commands on the path for interpreters that are not selected.
judge() {
    "$1" -I - 2>/dev/null <<'PY' || echo "does not run"
import sys
version = "%d.%d" % sys.version_info[:2]
if sys.version_info < (3, 11):
    print("is Python " + version)
elif sys.implementation.name != "cpython":
    print("is " + sys.implementation.name + ", not CPython")
else:
    try:
        import ensurepip, venv
        print("ok")
    except ImportError:
        print("is Python " + version + " without venv")
PY
}

found=
advice="install it (Debian, Ubuntu: apt-get install python3 python3-venv)"
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14 python3.15}; do
    path=$(command -v "$candidate" 2>/dev/null) || continue
    verdict=$(judge "$path")
    case $verdict in
    ok)
        # A shim decides anew in each folder; the interpreter behind it does not.
        exec "$path" -I -c 'import sys; print(sys.executable)'
        ;;
    *" without venv")
        version=${verdict#is Python }
        advice="install what is missing (Debian, Ubuntu: apt-get install python${version% without venv}-venv)"
        ;;
    "does not run")
        # Not worth a word, unless it is the one that was asked for.
        [ -n "${PYTHON:-}" ] || continue
        ;;
    esac
    found="$found${found:+, }$candidate, which $verdict"
done

echo "custodes: expected Python 3.11 or later with venv, found ${found:-none${PYTHON:+ at $PYTHON}};" \
    "$advice or name another: make PYTHON=/path/to/python3" >&2
exit 2
