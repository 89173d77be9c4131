#!/bin/sh
# Sees to a system command: installs its Debian package when it is missing and may be installed,
# otherwise prints the one command to run, in words. Never fails: what needs the command says so
# itself. CUSTODES_NO_APT=1 keeps the hands off the system.
#
# usage: scripts/system_package.sh bubblewrap | chromium
set -u
package=${1:?usage: scripts/system_package.sh bubblewrap | chromium}

has() {
    command -v "$1" >/dev/null 2>&1
}

case $package in
bubblewrap)
    present() { has bwrap; }
    why="the sandbox that agents run in"
    without="custodes assess refuses to run without --allow-uncontained"
    ;;
chromium)
    present() { has chromium || has chromium-browser || has google-chrome; }
    why="the browser that the report's tests look through"
    without="those tests are skipped"
    ;;
*)
    echo "custodes: expected bubblewrap or chromium, found $package" >&2
    exit 2
    ;;
esac

present && exit 0

family=
distribution=
if [ -r /etc/os-release ]; then
    distribution=$(. /etc/os-release && echo "${ID:-}")
    family=$(. /etc/os-release && echo " ${ID:-} ${ID_LIKE:-} ")
fi
case $family in
*" debian "*) manual="apt-get install $package" ;;
*) manual="your distribution's package manager" ;;
esac
[ "$(id -u)" = 0 ] || manual="sudo $manual"

as_root=
may=no
case $family in
*" debian "*)
    if [ "$(id -u)" = 0 ]; then
        may=yes
    elif has sudo && sudo -n true 2>/dev/null; then
        may=yes
        as_root="sudo -n"
    fi
    ;;
esac
# Ubuntu's chromium package is a wrapper around a snap, which an unattended machine cannot install.
[ "$package" = chromium ] && [ "$distribution" != debian ] && may=no
[ -n "${CUSTODES_NO_APT:-}" ] && may=no

if [ "$may" = yes ] && has apt-get; then
    echo "custodes: installing $package, $why"
    apt() {
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" 2>&1
    }
    # An index that cannot be refreshed may still be good enough to install from.
    said=$(apt update; apt install -y --no-install-recommends "$package")
    present && exit 0
    echo "custodes: apt-get could not: $(printf '%s\n' "$said" | grep '^E: ' | tail -n 1)"
fi

echo "custodes: $package ($why) is missing; install it with: $manual"
echo "custodes: until then $without"
