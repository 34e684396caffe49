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
for file in prometheus/rules.yml prometheus/prometheus.yml grafana/modelmux.json; do
    [ "$(stat -c '%a %U' "/usr/share/modelmux/$file")" = "644 root" ]  # Prometheus and Grafana read it as other users
done
zcat /usr/share/man/man1/modelmux.1.gz | grep '^.TH MODELMUX 1 ' >/dev/null  # with -q it would leave before zcat has written all
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

cp -r /usr/lib/modelmux /root/library
systemctl stop modelmux
[ "$(systemctl show modelmux -p Result --value)" = success ]
dpkg -P modelmux
[ ! -e /var/lib/modelmux ] && [ ! -e /usr/lib/modelmux ] && [ ! -e /etc/modelmux ] && [ ! -e /lib/systemd/system/modelmux.service ]
echo THE PACKAGE WORKS

# Without the package: an installation of root's own, and the unit of `modelmux service install`.
install_to() {
    python3 -m venv --without-pip "$1"
    cp -r /root/library/. "$1"/lib/python3*/site-packages/
    printf '#!%s/bin/python -I\nfrom modelmux.cli.main import main\n\nmain()\n' "$1" >"$1/bin/modelmux"
    chmod 755 "$1/bin/modelmux"
}
fails() { # fails WORDS COMMAND...: it ends with an error that has these words
    local words=$1
    shift
    if "$@" >/root/output 2>&1; then exit 1; fi
    grep -q -- "$words" /root/output
}
install_to /root/venv
/root/venv/bin/modelmux config init --system --yes --project p --location global
fails "ProtectHome" /root/venv/bin/modelmux service install --system
fails "ProtectHome" /root/venv/bin/modelmux doctor --system
[ ! -e /etc/systemd/system/modelmux.service ]
install_to /opt/modelmux
export PATH=/opt/modelmux/bin:$PATH
mv /etc/modelmux/config.toml /root/config.toml
fails "modelmux config init --system" modelmux service install --system
mv /root/config.toml /etc/modelmux/config.toml

# A key in a place that the unit hides is refused with a command; that command leads to a service that runs.
python3 - <<'PYTHON'
import json, sys
sys.path.insert(0, "/root/library")
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import rsa
key = rsa.generate_private_key(65537, 2048).private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
json.dump({"type": "service_account", "project_id": "p", "private_key_id": "k", "private_key": key.decode(),
           "client_email": "a@p.iam.gserviceaccount.com", "token_uri": "http://127.0.0.1:9000/token"},
          open("/root/key.json", "w"))
PYTHON
chmod 600 /root/key.json
cat >/etc/modelmux/config.toml <<'CONFIG'
[auth]
service_account_file = "/root/key.json"
[vertex]
project = "p"
location = "global"
base_url = "http://127.0.0.1:9000"
CONFIG
fails "install -m 600 /root/key.json /etc/modelmux/key.json" modelmux service install --system
[ ! -e /etc/systemd/system/modelmux.service ]
install -m 600 /root/key.json /etc/modelmux/key.json
sed -i 's|/root/key.json|/etc/modelmux/key.json|' /etc/modelmux/config.toml
modelmux service install --system
ask claude-sonnet-4-6 | grep -q hello
[ "$(stat -c '%a %U %G' /etc/modelmux/config.toml)" = "640 root modelmux" ]
[ "$(stat -c '%a %U' /etc/modelmux/key.json)" = "400 modelmux" ]
modelmux doctor --system
modelmux service uninstall --system
! systemctl is-active modelmux
echo THE SERVICE WORKS
