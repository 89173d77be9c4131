#!/bin/sh
# Writes requirements/*.txt: every package at one version with the hashes of all its files, for
# every platform and Python. Pins that still fit are kept; UPGRADE=1 takes the newest.
#
# usage: scripts/lock.sh UV
set -eu
cd "$(dirname "$0")/.."
uv=${1:?usage: scripts/lock.sh UV}

# Hashes must be those of the public registry, so no mirror or local folder that this machine is
# set up with may answer; and no address may be written.
for name in $(env | sed -n 's/^\(\(UV\|PIP\)_[A-Z_]*\)=.*/\1/p'); do
    unset "$name"
done

compile() {
    output=$1
    shift
    "$uv" pip compile --no-config --quiet --no-header --no-emit-index-url --no-emit-find-links \
        --universal --python-version "${oldest:-3.11}" --fork-strategy fewest --generate-hashes \
        ${UPGRADE:+--upgrade} --output-file "$output" "$@"
}

compile requirements/assess.txt pyproject.toml --extra assess --extra plots \
    requirements/build.in requirements/assess.in
compile requirements/base.txt pyproject.toml requirements/build.in \
    --constraint requirements/assess.txt
compile requirements/dev.txt pyproject.toml --extra assess --extra plots --extra dev \
    requirements/build.in requirements/assess.in --constraint requirements/assess.txt
compile requirements/lock.txt requirements/lock.in
# For the system's Python, which may be older than Custodes' own.
oldest=3.10
compile requirements/toolbox.txt requirements/toolbox.in
