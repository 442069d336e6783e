package main

import (
	"fmt"
	"os"
	"path/filepath"

	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	kubeadmapiv1 "k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm/v1beta4"
	"k8s.io/kubernetes/cmd/kubeadm/app/discovery"
	kubeconfigutil "k8s.io/kubernetes/cmd/kubeadm/app/util/kubeconfig"
)

type user struct {
	Token       string `json:"token"`
	Certificate []byte `json:"certificate"`
	Key         []byte `json:"key"`
}

// way is what a client does with its configuration.
func way(rest *restclient.Config) any {
	return struct {
		cluster
		user
	}{
		cluster{Server: rest.Host, CA: rest.CAData},
		user{Token: rest.BearerToken, Certificate: rest.CertData, Key: rest.KeyData},
	}
}

// A discovery file, all that kubeadm does with it before it asks the API server: what it would write for the kubelet.
var _ = question("discovery file", func(path string) (any, error) {
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return nil, err
	}
	if len(config.Clusters) < 1 {
		return nil, fmt.Errorf("no cluster")
	}
	_, found, err := kubeconfigutil.GetClusterFromKubeConfig(config)
	if err != nil {
		return nil, err
	}
	if err := clientcmd.Validate(*config); err != nil {
		return nil, err
	}
	if err := kubeconfigutil.EnsureCertificateAuthorityIsEmbedded(found); err != nil {
		return nil, err
	}
	if !kubeconfigutil.HasAuthenticationCredentials(config) {
		return nil, fmt.Errorf("no credentials")
	}
	if err := kubeconfigutil.EnsureAuthenticationInfoAreEmbedded(config); err != nil {
		return nil, err
	}
	if _, err := kubeconfigutil.ToClientSet(config); err != nil {
		return nil, err
	}
	if _, err := getCACertFromKubeconfig(config); err != nil {
		return nil, err
	}
	current := config.AuthInfos[config.Contexts[config.CurrentContext].AuthInfo]
	return struct {
		cluster
		user
	}{
		cluster{Server: found.Server, CA: found.CertificateAuthorityData},
		user{Token: current.Token, Certificate: current.ClientCertificateData, Key: current.ClientKeyData},
	}, nil
})

// The kubelet's reading of its own file or of the bootstrap's: the way that it would take to the API server.
var _ = question("kubeconfig", func(path string) (any, error) {
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: path}
	config, err := rules.Load()
	if err != nil {
		return nil, err
	}
	rest, err := clientcmd.NewNonInteractiveClientConfig(*config, config.CurrentContext, &clientcmd.ConfigOverrides{}, rules).ClientConfig()
	if err != nil {
		return nil, err
	}
	if err := restclient.LoadTLSFiles(rest); err != nil {
		return nil, err
	}
	return way(rest), nil
})

// Server and token of the current context of a kubeconfig that is no file yet.
var _ = question("kubeconfig text", func(text string) (any, error) {
	config, err := clientcmd.Load([]byte(text))
	if err != nil {
		return nil, err
	}
	rest, err := clientcmd.NewDefaultClientConfig(*config, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, err
	}
	return way(rest), nil
})

// bootstrap-kubelet.conf as kubeadm writes it.
var _ = question("write bootstrap-kubelet.conf", func(in struct {
	cluster
	Token string `json:"token"`
}) (any, error) {
	config := kubeconfigutil.CreateWithToken(in.Server, kubeadmapiv1.DefaultClusterName, discovery.TokenUser, in.CA, in.Token)
	text, err := clientcmd.Write(*config)
	return string(text), err
})

// The same with a client certificate.
var _ = question("write bootstrap-kubelet.conf with a certificate", func(in struct {
	cluster
	user
}) (any, error) {
	config := kubeconfigutil.CreateWithCerts(in.Server, kubeadmapiv1.DefaultClusterName, discovery.TokenUser, in.CA, in.Key, in.Certificate)
	text, err := clientcmd.Write(*config)
	return string(text), err
})

// kubelet.conf as the kubelet writes it.
var _ = question("write kubelet.conf", func(in struct {
	cluster
	Pair string `json:"pair"`
}) (any, error) {
	folder, err := os.MkdirTemp("", "nodestrap-oracle-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "kubelet.conf")
	rest := &restclient.Config{Host: in.Server, TLSClientConfig: restclient.TLSClientConfig{CAData: in.CA}}
	if err := writeKubeconfigFromBootstrapping(rest, file, in.Pair); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	return string(text), err
})
