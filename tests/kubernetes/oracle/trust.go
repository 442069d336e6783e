package main

import (
	"errors"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	certutil "k8s.io/client-go/util/cert"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	"k8s.io/cluster-bootstrap/token/jws"
	bootstraputil "k8s.io/cluster-bootstrap/token/util"

	kubeadmapi "k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm"
	kubeconfigutil "k8s.io/kubernetes/cmd/kubeadm/app/util/kubeconfig"
	"k8s.io/kubernetes/cmd/kubeadm/app/util/pubkeypin"
)

var _ = question("token", func(text string) (any, error) {
	return bootstraputil.IsValidBootstrapToken(text), nil
})

type signed struct {
	Content string `json:"content"`
	ID      string `json:"id"`
	Secret  string `json:"secret"`
}

var _ = question("sign", func(in signed) (any, error) {
	return jws.ComputeDetachedSignature(in.Content, in.ID, in.Secret)
})

var _ = question("is signed", func(in struct {
	signed
	Signature string `json:"signature"`
}) (any, error) {
	return jws.DetachedTokenIsValid(in.Signature, in.Content, in.ID, in.Secret), nil
})

// The pins of the certificates in a PEM text.
var _ = question("hashes", func(pem []byte) (any, error) {
	certificates, err := certutil.ParseCertsPEM(pem)
	if err != nil {
		return nil, err
	}
	hashes := []string{}
	for _, certificate := range certificates {
		hashes = append(hashes, pubkeypin.Hash(certificate))
	}
	return hashes, nil
})

// Whether these are pins.
var _ = question("pins", func(pins []string) (any, error) {
	return nil, pubkeypin.NewSet().Allow(pins...)
})

type cluster struct {
	Server string `json:"server"`
	CA     []byte `json:"ca"`
}

// kubeadm's discovery by token, with a cluster-info in place of the API server that would tell it.
var _ = question("discover", func(in struct {
	Data  map[string]string `json:"data"`
	Token string            `json:"token"`
	Pins  []string          `json:"pins"`
}) (any, error) {
	client := fake.NewSimpleClientset(&v1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: bootstrapapi.ConfigMapClusterInfo, Namespace: metav1.NamespacePublic},
		Data:       in.Data,
	})
	discovery := &kubeadmapi.Discovery{BootstrapToken: &kubeadmapi.BootstrapTokenDiscovery{
		Token:             in.Token,
		APIServerEndpoint: "api.example:6443",
		CACertHashes:      in.Pins,
	}}
	config, err := retrieveValidatedConfigInfo(client, discovery, time.Millisecond, 2*time.Millisecond, false, true)
	if err != nil {
		return nil, err
	}
	if config == nil {
		return nil, errors.New("no cluster-info in time")
	}
	_, found, err := kubeconfigutil.GetClusterFromKubeConfig(config)
	if err != nil {
		return nil, err
	}
	// What discovery.For does before a join goes on.
	if _, err := getCACertFromKubeconfig(config); err != nil {
		return nil, err
	}
	return cluster{Server: found.Server, CA: found.CertificateAuthorityData}, nil
})
