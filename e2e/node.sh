#!/usr/bin/env bash
# Runs a program in namespaces of its own in which a node of Kubernetes can live (`make node`): network, mounts, processes.
# What is started, mounted and connected there ends with them; the control groups, which have no namespace, are removed
# afterwards. `node.sh can` says nothing, or why this machine cannot.
set -uo pipefail

packages=(containerd:containerd runc:runc ip:iproute2 iptables:iptables ipset:ipset nft:nftables unshare:util-linux
  setpriv:util-linux sysctl:procps /usr/lib/cni/bridge:containernetworking-plugins)
# Kernel tunables that are of no namespace, with what a kubelet wants there: it is shown these instead of setting them.
tunables=(vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000)
namespaces=(--net --mount --pid --uts --ipc --fork --kill-child --mount-proc --propagation private)

can() {
  [ "$(uname -s)" = Linux ] || { echo "a node of Kubernetes needs Linux"; return 1; }
  [ "$(id -u)" = 0 ] || { echo "namespaces, links and control groups need root: sudo make node"; return 1; }
  local pair missing=""
  for pair in "${packages[@]}"; do
    [[ " $missing " == *" ${pair#*:} "* ]] || command -v "${pair%%:*}" >/dev/null || missing+=" ${pair#*:}"
  done
  [ -z "$missing" ] || { echo "packages are missing: apt-get install$missing"; return 1; }
  [ -n "$(hierarchies)" ] || { echo "there are no control groups at /sys/fs/cgroup"; return 1; }
  unshare "${namespaces[@]}" ip link set lo up 2>/dev/null || {
    echo "root may make no namespaces here (CAP_SYS_ADMIN, CAP_NET_ADMIN)"
    return 1
  }
}

# Where control groups are mounted: each hierarchy of version 1, and the one of version 2.
hierarchies() { awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/self/mounts; }

outside() {
  group=charttrust-node-$$
  folder=$(mktemp --directory --tmpdir charttrust-node-XXXXXX) || return
  inner=
  trap end EXIT
  trap 'exit 130' INT TERM HUP
  leftovers
  local at file
  for at in $(hierarchies); do
    mkdir "$at/$group" || return
    # An empty set of processors takes no process.
    for file in cpuset.cpus cpuset.mems; do
      [ ! -e "$at/$file" ] || cat "$at/$file" >"$at/$group/$file" || return
    done
  done
  CHARTTRUST_NODE=$folder CHARTTRUST_NODE_GROUP=$group unshare "${namespaces[@]}" bash "$0" inside "$@" </dev/null &
  inner=$!
  wait "$inner"
}

# The kernel ends every process of the namespaces with the first of them, and with the last their mounts and links.
end() {
  local result=$?
  trap '' INT TERM HUP
  if [ -n "$inner" ]; then
    kill -KILL "$inner" 2>/dev/null
    wait "$inner" 2>/dev/null
  fi
  for _ in $(seq 100); do
    remove "$group" && break
    sleep 0.1
  done
  [ $result -eq 0 ] || tail -n "${LINES_OF_LOGS:-8}" "$folder"/log/*.log 2>/dev/null
  rm -rf --one-file-system "$folder"
  exit $result
}

# Those of a run that was killed before it could remove them.
leftovers() {
  local at
  for at in $(hierarchies); do
    for at in "$at"/charttrust-node-*/; do
      [ ! -d "$at" ] || [ -e "/proc/$(basename "${at##*-}")" ] || remove "$(basename "$at")"
    done
  done
}

remove() {
  local at left=0
  for at in $(hierarchies); do
    [ ! -d "$at/$1" ] || find "$at/$1" -depth -type d -exec rmdir {} + 2>/dev/null || left=1
  done
  return $left
}

# The first process of the namespaces; a shell, as it has to wait for those whose parents have ended.
inside() {
  set -e
  export PATH=$PATH:/usr/sbin:/sbin
  hostname node
  mount -t tmpfs tmpfs /run
  mount -t tmpfs tmpfs /var/lib
  mount -t tmpfs tmpfs /var/log
  mkdir -p /run/lock /run/node/tunables "$CHARTTRUST_NODE/log"
  for tunable in "${tunables[@]}"; do
    file=/run/node/tunables/$(basename "${tunable%=*}")
    echo "${tunable#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${tunable%=*}"
  done
  # The node's own network: both ends of the link are here, and the machine's network is not.
  ip link set lo up
  ip link add eth0 type veth peer name nowhere
  ip addr add 10.77.0.2/24 dev eth0
  ip link set nowhere up
  ip link set eth0 up
  ip route add default dev eth0
  sysctl --quiet --write net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1 net.ipv4.conf.all.rp_filter=0
  "$@"
}

case ${1:-} in
  can) can ;;
  inside) shift && inside "$@" ;;
  run) shift && outside "$@" ;;
  *) echo "usage: node.sh can | run PROGRAM [ARGUMENT…]" >&2 && exit 2 ;;
esac
