# Shows a pod's containers at /charm/containers and its resolv.conf, in a mount namespace of its own, until standard
# input ends. Everything else of the host is there as it is.
set -eu
root=$1 containers=$2 resolv_conf=$3
mount -t tmpfs -o mode=755 tmpfs "$root"
for entry in /* /.[!.]*; do
    name=${entry#/}
    if [ -L "$entry" ]; then
        cp -P "$entry" "$root/$name"
    elif [ -d "$entry" ]; then
        mkdir -p "$root/$name"
        mount --rbind "$entry" "$root/$name"
    fi
done
mkdir -p "$root/charm/containers"
mount --rbind "$containers" "$root/charm/containers"
exec chroot "$root" sh -c 'mount --bind "$1" /etc/resolv.conf; echo ready; read -r line || exit 0' hold "$resolv_conf"
