#!/bin/busybox sh
# First process of the guest: namespaces with veth around plnatd, one download through each of three private endpoints that have
# the same address; one of them is a VLAN device's, and so are the servers. The last line says how it went.
/bin/busybox --install -s /bin
export PATH=/tools:/bin
# The shell takes applets of its own before what is in PATH.
alias ip=/tools/ip
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev 2>/dev/null
mkdir -p /run /tmp /var/lib/plnat /var/run
mount -t tmpfs none /run
mkdir -p /run/netns /sys/fs/bpf
ln -s /run/netns /var/run/netns
mount -t bpf none /sys/fs/bpf

verdict() {
    [ "$1" = ok ] || { echo "--- plnatd's log"; cat /tmp/plnatd.log; echo "--- kernel"; dmesg | tail -n 20; }
    echo "plnat-vm: $*"
    poweroff -f
}
# Tries a command until it succeeds, once a second.
within() {
    seconds=$1; shift
    while ! "$@"; do
        seconds=$((seconds - 1))
        [ $seconds -gt 0 ] || return 1
        sleep 1
    done
}

echo "guest: Linux $(uname -r), $(cut -d' ' -f1 /proc/uptime) s after its start"
for module in /modules/*.ko; do insmod $module || verdict "FAILED: insmod $module"; done
ip link set lo up

# Clients of three networks with the same addresses, a fourth that has to wait, and three servers.
host() {
    name=$1; shift
    ip netns add $name
    ip link add ${name}0 type veth peer name eth0 netns $name
    ip -n $name link set lo up
    for address; do ip -n $name address add $address dev eth0; done
    ip -n $name link set eth0 up
    ip link set ${name}0 up
    # What XDP cannot see must be off at the far end while it is up, and frames are taken there only with GRO.
    ip netns exec $name ethtool -K eth0 gro on tx off txvlan off >/dev/null
}
# A VLAN device on another namespace's eth0, in a namespace of its own.
tagged() {
    name=$1 trunk=$2 number=$3; shift 3
    ip netns add $name
    ip -n $trunk link add link eth0 name tagged type vlan id $number
    ip -n $trunk link set tagged netns $name
    ip -n $name link set lo up
    for address; do ip -n $name address add $address dev tagged; done
    ip -n $name link set tagged up
}
for consumer in contoso fabrikam; do host $consumer 10.0.0.10/16; done
host trunk
tagged northwind trunk 100 10.0.0.10/16
tagged adatum trunk 200 10.0.0.10/16
host servers
tagged provider servers 300 10.2.0.11/16 10.2.0.12/16 10.2.0.13/16
# The gateway's own device, over which it probes.
ip link add link servers0 name servers0.300 type vlan id 300
ip link set servers0.300 up
ip address add 10.2.0.1/16 dev servers0.300
mkdir /www
echo "<p>plnat" > /www/index.html
dd if=/dev/urandom of=/www/file bs=64k count=32 2>/dev/null
ip netns exec provider httpd -p 80 -h /www

plnatd --config /etc/plnat/plnat.toml > /tmp/plnatd.log 2>&1 &
daemon=$!
answers() { kill -0 $daemon || verdict "FAILED: plnatd ended"; plnat status > /tmp/status 2>&1; }
within 120 answers || verdict "FAILED: plnatd does not answer"
echo "guest: plnatd answers, $(cut -d' ' -f1 /proc/uptime) s"
healthy() { plnat status | grep -q "3 of 3 up"; }
within 120 healthy || { plnat status; verdict "FAILED: the backends did not get healthy"; }
plnat status | cat

right=$(sha256sum < /www/file)
for consumer in contoso fabrikam northwind; do
    ip netns exec $consumer timeout 60 wget -q -O /tmp/$consumer http://10.0.1.4/file || verdict "FAILED: $consumer's download"
    [ "$(sha256sum < /tmp/$consumer)" = "$right" ] || verdict "FAILED: $consumer got another file"
    echo "guest: $consumer got $(wc -c < /tmp/$consumer) bytes through 10.0.1.4"
done
ip netns exec adatum timeout 3 wget -q -O /tmp/adatum http://10.0.1.4/file && verdict "FAILED: adatum was not made to wait"
# A console that has no width would break each line.
plnat connection list | cat
plnat counters | cat
echo "guest: $(cut -d' ' -f1 /proc/uptime) s"
verdict ok
