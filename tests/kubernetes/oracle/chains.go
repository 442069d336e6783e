package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"time"
)

// Go's judgement of what a server shows, as crypto/tls asks for it.
var _ = question("chain", func(in struct {
	Chain [][]byte `json:"chain"`
	Roots [][]byte `json:"roots"`
	Host  string   `json:"host"`
	Now   int64    `json:"now"`
}) (any, error) {
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), DNSName: in.Host, CurrentTime: time.Unix(in.Now, 0),
	}
	for _, der := range in.Roots {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		options.Roots.AddCert(root)
	}
	var leaf *x509.Certificate
	for i, der := range in.Chain {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			leaf = certificate
		} else {
			options.Intermediates.AddCert(certificate)
		}
	}
	_, err := leaf.Verify(options)
	return nil, err
})

// A new key in PKCS#8.
var _ = question("key", func(kind string) (any, error) {
	make := func() (crypto.Signer, error) {
		switch kind {
		case "P-256":
			return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		case "P-384":
			return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		case "P-521":
			return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
		case "Ed25519":
			_, key, err := ed25519.GenerateKey(rand.Reader)
			return key, err
		case "RSA-1024":
			return rsa.GenerateKey(rand.Reader, 1024)
		case "RSA-2048":
			return rsa.GenerateKey(rand.Reader, 2048)
		}
		panic("no such kind of key: " + kind)
	}
	key, err := make()
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(key)
})

func parsedKey(pkcs8 []byte) crypto.Signer {
	key, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		panic(err)
	}
	return key.(crypto.Signer)
}

// The same certificate for another key, and signed by another.
var _ = question("certificate", func(in struct {
	Certificate []byte `json:"certificate"`
	Key         []byte `json:"key"`
	Issuer      []byte `json:"issuer"`
}) (any, error) {
	like, err := x509.ParseCertificate(in.Certificate)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: like.SerialNumber, RawSubject: like.RawSubject, NotBefore: like.NotBefore, NotAfter: like.NotAfter,
		ExtraExtensions: like.Extensions,
	}
	parent := &x509.Certificate{RawSubject: like.RawIssuer}
	return x509.CreateCertificate(rand.Reader, template, parent, parsedKey(in.Key).Public(), parsedKey(in.Issuer))
})

// A signature as TLS has them from a server with an RSA key: rsa_pss_rsae_sha256.
var _ = question("sign a handshake", func(in struct {
	Key     []byte `json:"key"`
	Message []byte `json:"message"`
}) (any, error) {
	digest := sha256.Sum256(in.Message)
	options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	return parsedKey(in.Key).Sign(rand.Reader, digest[:], options)
})
