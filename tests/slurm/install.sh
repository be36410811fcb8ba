#!/usr/bin/env bash
# Install the packages that up.sh needs. Debian; root.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

for program in munged slurmctld slurmd sbatch slurmdbd mariadbd; do
    if ! command -v "$program" >/dev/null; then
        apt-get update -qq
        # Debian starts the daemons that it installs; up.sh starts its own.
        policy=/usr/sbin/policy-rc.d
        if [ ! -e $policy ]; then
            printf '#!/bin/sh\nexit 101\n' >$policy
            chmod +x $policy
            trap 'rm -f $policy' EXIT
        fi
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            slurm-wlm munge slurmdbd mariadb-server >/dev/null
        exit
    fi
done
