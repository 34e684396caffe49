#!/bin/bash
# Runs inside a freshly booted Debian: installs the package and uses it as an administrator would. Any line that fails
# ends it; the last line is looked for by test_deb.py.
set -euxo pipefail
ask() {
    curl -sS -f --max-time 10 -H 'content-type: application/json' localhost:3000/v1/chat/completions \
        -d '{"model":"'"$1"'","messages":[{"role":"user","content":"say exactly: hello"}]}'
}

dpkg -i /root/modelmux.deb
modelmux --version
zcat /usr/share/man/man1/modelmux.1.gz | grep -q '^.TH MODELMUX 1 '
[ "$(stat -c '%a %U %G' /etc/modelmux/config.toml)" = "640 root modelmux" ]
! systemctl is-active modelmux
# Nothing configured: it does not start, and the journal says what to do.
! systemctl start modelmux
journalctl --no-pager -u modelmux | grep -q "hint: "

(modelmux emulate --port 9000 >/root/emulator.log 2>&1 &)
cat >/etc/modelmux/config.toml <<'CONFIG'
[auth]
access_token = "t"
[vertex]
project = "p"
location = "global"
base_url = "http://127.0.0.1:9000"
CONFIG
systemctl reset-failed modelmux
systemctl enable --now modelmux
ask claude-sonnet-4-6 | grep -q hello
systemctl show modelmux -p StatusText | grep -q Serving
[ "$(stat -c %U "/proc/$(systemctl show modelmux -p MainPID --value)")" = modelmux ]

# A new name by reload; a broken file is refused and the old one stays.
printf '[[vertex.models]]\nname = "mine"\nmodel = "claude-sonnet-4-6"\n' >>/etc/modelmux/config.toml
systemctl reload modelmux
ask mine | grep -q hello
cp /etc/modelmux/config.toml /root/good.toml
echo 'nonsense = 1' >>/etc/modelmux/config.toml
! systemctl reload modelmux
ask mine | grep -q hello
cp /root/good.toml /etc/modelmux/config.toml
ls /var/log/modelmux/*
[ "$(stat -c %a:%U /var/lib/modelmux/seal.key)" = 600:modelmux ]

# An upgrade keeps the configuration and restarts what ran.
before=$(systemctl show modelmux -p MainPID --value)
dpkg -i /root/modelmux.deb
systemctl is-active modelmux
[ "$before" != "$(systemctl show modelmux -p MainPID --value)" ]
ask mine | grep -q hello

systemctl stop modelmux
[ "$(systemctl show modelmux -p Result --value)" = success ]
dpkg -P modelmux
[ ! -e /var/lib/modelmux ] && [ ! -e /usr/lib/modelmux ] && [ ! -e /etc/modelmux ] && [ ! -e /lib/systemd/system/modelmux.service ]
echo THE PACKAGE WORKS
