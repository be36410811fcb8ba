#!/usr/bin/env bash
# Stop the daemons that up.sh started, by their process ids, and remove its configuration. Packages stay installed.
#
#   FOLDER=/tmp/cluster tests/slurm/down.sh
set -uo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
folder=${FOLDER:?names the folder with the state of the cluster}

end() { # PROGRAM PID_FILE
    [ -s "$2" ] || return 0
    local process
    process=$(cat "$2")
    if [ "$(cat "/proc/$process/comm" 2>/dev/null)" = "$1" ]; then
        kill "$process"
        for _ in $(seq 100); do
            kill -0 "$process" 2>/dev/null || break
            sleep .1
        done
        if kill -0 "$process" 2>/dev/null; then kill -9 "$process"; fi
    fi
    rm -f "$2"
}

if grep -qx "StateSaveLocation=$folder/ctld" /etc/slurm/slurm.conf 2>/dev/null; then
    timeout 10 scancel --partition main 2>/dev/null
    for _ in $(seq 75); do
        [ -n "$(timeout 5 squeue -h -o %A 2>/dev/null)" ] || break
        sleep .2
    done
fi
end slurmd "$folder/run/slurmd-cxrflow1.pid" &
end slurmd "$folder/run/slurmd-cxrflow2.pid" &
end slurmctld "$folder/run/slurmctld.pid" &
wait
end slurmdbd "$folder/run/slurmdbd.pid"
end mariadbd "$folder/run/mariadbd.pid" &
end munged "$folder/run/munged.pid" &
wait
if grep -qx "StateSaveLocation=$folder/ctld" /etc/slurm/slurm.conf 2>/dev/null; then
    rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf /etc/slurm/slurmdbd.conf
fi
