#!/bin/sh
# Says whether bubblewrap can make a sandbox here, and what to do when it cannot. Never fails:
# custodes looks again when it runs, and refuses by itself.
set -u
command -v bwrap >/dev/null 2>&1 || exit 0
bwrap --unshare-user --ro-bind / / true 2>/dev/null && exit 0

restricted=$(cat /proc/sys/kernel/apparmor_restrict_unprivileged_userns 2>/dev/null || echo 0)
if [ "$restricted" = 1 ]; then
    echo "custodes: AppArmor keeps bubblewrap from making user namespaces (Ubuntu 23.10 and later);" \
        "allow it with:"
    echo "    sudo install -m 644 scripts/apparmor-bwrap /etc/apparmor.d/bwrap &&" \
        "sudo apparmor_parser -r /etc/apparmor.d/bwrap"
else
    echo "custodes: bubblewrap is here but this kernel or container refuses user namespaces to it;" \
        "allow them (kernel.unprivileged_userns_clone, user.max_user_namespaces, or the container's" \
        "security profile)"
fi
echo "custodes: until then custodes assess refuses to run without --allow-uncontained"
