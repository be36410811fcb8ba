#!/usr/bin/env bash
# Start a Slurm cluster on this machine for the tests: munged, slurmctld, and two nodes (slurmd), of which the first has two
# fake GPUs; with ACCOUNTING=1 also slurmdbd and MariaDB. Needs Debian and root, but neither systemd nor cgroups.
#
#   FOLDER=/tmp/cluster tests/slurm/up.sh
#
# Missing packages are installed by apt. /etc/slurm/slurm.conf must not exist, or be written by this script.
# FOLDER contains state, logs and process ids, so that down.sh stops only what was started here.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
folder=${FOLDER:?names a folder for the state of the cluster}
accounting=${ACCOUNTING:-}
host=$(hostname -s)
here=$(dirname "${BASH_SOURCE[0]}")

stop() {
    echo "error: $1" >&2
    exit 1
}

until_true() { # COMMAND…: waits for at most 60 s
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep .2
    done
    tail -n 20 "$folder"/log/*.log >&2 || true
    stop "failed for 60 s: $*"
}

[ "$(id -u)" = 0 ] || stop "only root can set up a cluster"
if [ -s /etc/slurm/slurm.conf ] && ! grep -qx 'ClusterName=cxrflow' /etc/slurm/slurm.conf; then
    stop "/etc/slurm/slurm.conf belongs to another cluster"
fi

bash "$here/install.sh"
bash "$here/down.sh"
mkdir -p "$folder"/{ctld,log,run,dev} /etc/slurm
chmod 755 "$folder" "$folder"/*
for number in 0 1; do # without character devices, jobs get no CUDA_VISIBLE_DEVICES
    [ -c "$folder/dev/nvidia$number" ] || mknod -m 666 "$folder/dev/nvidia$number" c 1 3
done

# ---- munge, which may already run
if ! munge -n </dev/null 2>/dev/null | unmunge >/dev/null 2>&1; then
    install -d -o munge -g munge -m 755 /run/munge
    install -d -o munge -g munge -m 711 /var/lib/munge
    install -d -o munge -g munge -m 700 /var/log/munge
    [ -s /etc/munge/munge.key ] || dd if=/dev/urandom of=/etc/munge/munge.key bs=1 count=1024 status=none
    chown munge:munge /etc/munge/munge.key
    chmod 400 /etc/munge/munge.key
    setpriv --reuid=munge --regid=munge --clear-groups munged --pid-file /run/munge/munged.pid
    until_true cp /run/munge/munged.pid "$folder/run/munged.pid"
    until_true sh -c 'munge -n | unmunge'
fi

# ---- accounting
storage="AccountingStorageType=accounting_storage/none"
if [ -n "$accounting" ]; then
    storage="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=16819"
    socket="$folder/run/mariadb.sock"
    install -d -o mysql -g mysql "$folder/db" "$folder/db_tmp" # other users may have no access to /tmp
    if [ ! -d "$folder/db/mysql" ]; then
        mariadb-install-db --user=mysql --datadir="$folder/db" --tmpdir="$folder/db_tmp" \
            --auth-root-authentication-method=socket --skip-test-db >"$folder/log/mariadb.log" 2>&1
    fi
    chmod 777 "$folder/run"
    mariadbd --no-defaults --user=mysql --datadir="$folder/db" --tmpdir="$folder/db_tmp" --skip-networking \
        --socket="$socket" --pid-file="$folder/run/mariadbd.pid" >>"$folder/log/mariadb.log" 2>&1 &
    until_true mariadb-admin --no-defaults --socket="$socket" ping
    install -m 600 /dev/stdin /etc/slurm/slurmdbd.conf <<CONF
AuthType=auth/munge
DbdHost=localhost
DbdPort=16819
SlurmUser=root
LogFile=$folder/log/slurmdbd.log
PidFile=$folder/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageLoc=slurm
StorageUser=root
CONF
    MYSQL_UNIX_PORT="$socket" slurmdbd
fi

# ---- the cluster. Memory is polled every second instead of using cgroups; squeue lists finished jobs for an hour.
cat >/etc/slurm/slurm.conf <<CONF
ClusterName=cxrflow
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
MpiDefault=none
ReturnToService=2
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd-%n.pid
SlurmctldPort=16817
SrunPortRange=16900-16999
StateSaveLocation=$folder/ctld
SlurmdSpoolDir=$folder/spool-%n
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
$storage
MinJobAge=3600
KillWait=10
DefMemPerCPU=512
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=cxrflow1 NodeHostname=$host NodeAddr=127.0.0.1 Port=16821 CPUs=4 RealMemory=8000 Gres=gpu:2
NodeName=cxrflow2 NodeHostname=$host NodeAddr=127.0.0.1 Port=16822 CPUs=4 RealMemory=8000
PartitionName=main Nodes=cxrflow[1-2] Default=YES MaxTime=INFINITE State=UP
CONF
cat >/etc/slurm/gres.conf <<CONF
AutoDetect=off
NodeName=cxrflow1 Name=gpu File=$folder/dev/nvidia[0-1]
CONF
if [ -n "$accounting" ]; then
    until_true sacctmgr --immediate list cluster
    sacctmgr --immediate add cluster cxrflow >/dev/null 2>&1 || true # slurmctld adds it too
    sacctmgr --immediate add account study cluster=cxrflow >/dev/null 2>&1 || true
    sacctmgr --immediate add user root account=study >/dev/null 2>&1 || true
fi
slurmctld -c
until_true sh -c 'scontrol ping | grep -q "is UP"'
slurmd -N cxrflow1
slurmd -N cxrflow2
until_true sh -c '[ "$(sinfo -h -N -o %T | sort | uniq -c | xargs)" = "2 idle" ]'
sinfo -N -o '%N %T %c %m %G'
