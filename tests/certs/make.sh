#!/bin/sh
# Make the certificates of this directory again (OpenSSL 3): sh make.sh
# Valid until 2124, but for the expired one. The authority's key is not kept.
set -eu
out=$(cd "$(dirname "$0")" && pwd); far=21241231235959Z
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
cat > policy.cnf <<'C'
[ca]
default_ca = here
[here]
database = index
serial = serial
default_md = sha256
policy = any
[any]
commonName = supplied
C
issue() { # name, start, end, extensions, then how to sign
  name=$1 start=$2 end=$3 extensions=$4; shift 4
  openssl ecparam -name prime256v1 -genkey -noout > "$name.key"
  openssl req -new -key "$name.key" -subj "/CN=streamkit test $name" > "$name.csr"
  { echo "subjectKeyIdentifier = hash"; echo "authorityKeyIdentifier = keyid:always"; echo "$extensions"; } > "$name.cnf"
  openssl ca -batch -notext -config policy.cnf -outdir . -in "$name.csr" -out "$name.crt" -extfile "$name.cnf" \
    -startdate "$start" -enddate "$end" "$@"
}
leaf() { # name, subjectAltName, start, end
  issue "$1" "$3" "$4" "basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = $2" -cert ca.crt -keyfile ca.key
  cat "$1.crt" "$1.key" > "$out/$1.pem"
}
: > index; echo 01 > serial
issue ca 20200101000000Z $far "basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign" -selfsign -keyfile ca.key
cp ca.crt "$out/ca.pem"
leaf localhost DNS:localhost,IP:127.0.0.1 20200101000000Z $far
leaf expired DNS:localhost,IP:127.0.0.1 20200101000000Z 20200201000000Z
leaf wrong-host DNS:elsewhere.test 20200101000000Z $far
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj "/CN=streamkit test self-signed" \
  -addext "subjectAltName = DNS:localhost,IP:127.0.0.1" -keyout self.key -out self.crt
cat self.crt self.key > "$out/self-signed.pem"
