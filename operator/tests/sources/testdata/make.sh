#!/bin/sh
# Certificates for tls.rs: two authorities, servers and a client, good for a hundred years, and one
# that has expired. Run in this folder with OpenSSL 3.
set -eu
curve="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"

authority() { # name
    openssl req -x509 $curve -subj "/CN=$1" -days 36500 -keyout "$1.key" -out "$1.crt"
}

request() { # name, names it is for, usage
    openssl req -new $curve -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" \
        -addext "subjectAltName=$2" -addext "extendedKeyUsage=$3"
}

leaf() { # name, names it is for, usage
    request "$@"
    openssl x509 -req -in "$1.csr" -CA authority.crt -CAkey authority.key -days 36500 -copy_extensions copy -out "$1.crt"
}

past() { # name, names it is for, usage
    request "$@"
    mkdir ca && touch ca/index
    printf '[ca]\ndefault_ca=a\n[a]\ndatabase=ca/index\nnew_certs_dir=ca\nrand_serial=yes\npolicy=p\ncopy_extensions=copy\n[p]\ncommonName=supplied\n' > ca/config
    openssl ca -batch -config ca/config -in "$1.csr" -cert authority.crt -keyfile authority.key -notext \
        -md sha256 -startdate 20200101000000Z -enddate 20210101000000Z -out "$1.crt"
    rm -r ca
}

authority authority
authority stranger
leaf server DNS:localhost,IP:127.0.0.1 serverAuth
leaf elsewhere DNS:elsewhere.example.com serverAuth
past expired DNS:localhost,IP:127.0.0.1 serverAuth
leaf client DNS:client.example.com clientAuth
rm authority.key stranger.key *.csr
