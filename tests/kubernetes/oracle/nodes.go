package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"os"
	"syscall"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/certificate"
	"k8s.io/client-go/util/keyutil"

	"k8s.io/kubernetes/pkg/kubelet/certificate/bootstrap"
)

// inside calls f with root in place of /, as a kubelet in that root would be called.
func inside(root string, f func() (any, error)) (any, error) {
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	outside, err := os.Open("/")
	check(err)
	defer outside.Close()
	check(syscall.Chroot(root))
	check(os.Chdir("/"))
	defer func() {
		check(outside.Chdir())
		check(syscall.Chroot("."))
	}()
	return f()
}

type node struct {
	Root       string `json:"root"`
	Kubeconfig string `json:"kubeconfig"`
}

// Whether a kubelet would start from this identity without a new certificate.
var _ = question("is valid", func(in node) (any, error) {
	return inside(in.Root, func() (any, error) { return isClientConfigStillValid(in.Kubeconfig) })
})

type store struct {
	Root      string `json:"root"`
	Directory string `json:"directory"`
	Name      string `json:"name"`
}

func (s store) open() (certificate.FileStore, error) {
	return certificate.NewFileStore(s.Name, s.Directory, s.Directory, "", "")
}

// The pair that a kubelet's store is at: its certificates, leaf first.
var _ = question("current pair", func(in store) (any, error) {
	return inside(in.Root, func() (any, error) {
		files, err := in.open()
		if err != nil {
			return nil, err
		}
		return chain(files.Current())
	})
})

// Puts a new pair into a kubelet's store.
var _ = question("update pair", func(in struct {
	store
	Certificate []byte `json:"certificate"`
	Key         []byte `json:"key"`
}) (any, error) {
	return inside(in.Root, func() (any, error) {
		files, err := in.open()
		if err != nil {
			return nil, err
		}
		return chain(files.Update(in.Certificate, in.Key))
	})
})

func chain(pair *tls.Certificate, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return pair.Certificate, nil
}

// The name that a kubelet gives to the request of this key for this node.
var _ = question("request name", func(in struct {
	PublicKey []byte `json:"publicKey"`
	Node      string `json:"node"`
}) (any, error) {
	key, err := x509.ParsePKIXPublicKey(in.PublicKey)
	if err != nil {
		return nil, err
	}
	subject := &pkix.Name{Organization: []string{"system:nodes"}, CommonName: "system:node:" + in.Node}
	return digestedName(key, subject, []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth})
})

// A certificate request as a kubelet makes them, for this name.
var _ = question("request", func(in struct {
	Key          []byte   `json:"key"`
	Organization []string `json:"organization"`
	CommonName   string   `json:"commonName"`
	Hosts        []string `json:"hosts"`
}) (any, error) {
	key, err := keyutil.ParsePrivateKeyPEM(in.Key)
	if err != nil {
		return nil, err
	}
	template := &x509.CertificateRequest{
		Subject: pkix.Name{Organization: in.Organization, CommonName: in.CommonName}, DNSNames: in.Hosts,
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	return pem.EncodeToMemory(&pem.Block{Type: cert.CertificateRequestBlockType, Bytes: der}), err
})

// Whether a kubelet takes up the object that it found under the name of its own.
var _ = question("takes up", func(in struct {
	Found certificatesv1.CertificateSigningRequest `json:"found"`
	Own   certificatesv1.CertificateSigningRequest `json:"own"`
	Key   []byte                                   `json:"key"`
}) (any, error) {
	key, err := keyutil.ParsePrivateKeyPEM(in.Key)
	if err != nil {
		return nil, err
	}
	return nil, ensureCompatible(&in.Found, &in.Own, key)
})

// A kubelet's whole bootstrap, with the oracle's own API server.
var _ = question("bootstrap", func(in struct {
	node
	Bootstrap string `json:"bootstrap"`
	Directory string `json:"directory"`
	Name      string `json:"name"`
}) (any, error) {
	server.reset()
	_, err := inside(in.Root, func() (any, error) {
		return nil, bootstrap.LoadClientCert(context.Background(), in.Kubeconfig, in.Bootstrap, in.Directory, types.NodeName(in.Name))
	})
	return server.seen(), err
})

// Where the oracle's own API server is, and by which CA it is known.
var _ = question("server of the oracle", func(struct{}) (any, error) {
	return cluster{Server: server.url(), CA: server.authority()}, nil
})
