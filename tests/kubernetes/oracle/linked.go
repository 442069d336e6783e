package main

import (
	"crypto/x509"
	"time"
	_ "unsafe" // for linkname

	certificatesv1 "k8s.io/api/certificates/v1"
	clientset "k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"crypto/x509/pkix"

	kubeadmapi "k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm"
	_ "k8s.io/kubernetes/cmd/kubeadm/app/discovery/token"
	_ "k8s.io/kubernetes/pkg/kubelet/certificate/bootstrap"
)

// Functions that their packages keep to themselves.

//go:linkname retrieveValidatedConfigInfo k8s.io/kubernetes/cmd/kubeadm/app/discovery/token.retrieveValidatedConfigInfo
func retrieveValidatedConfigInfo(client clientset.Interface, cfg *kubeadmapi.Discovery, interval, timeout time.Duration, isDryRun, isTesting bool) (*clientcmdapi.Config, error)

//go:linkname isClientConfigStillValid k8s.io/kubernetes/pkg/kubelet/certificate/bootstrap.isClientConfigStillValid
func isClientConfigStillValid(kubeconfigPath string) (bool, error)

//go:linkname digestedName k8s.io/kubernetes/pkg/kubelet/certificate/bootstrap.digestedName
func digestedName(publicKey any, subject *pkix.Name, usages []certificatesv1.KeyUsage) (string, error)

//go:linkname writeKubeconfigFromBootstrapping k8s.io/kubernetes/pkg/kubelet/certificate/bootstrap.writeKubeconfigFromBootstrapping
func writeKubeconfigFromBootstrapping(bootstrapClientConfig *restclient.Config, kubeconfigPath, pemPath string) error

//go:linkname isHTTPSURL k8s.io/kubernetes/cmd/kubeadm/app/discovery.isHTTPSURL
func isHTTPSURL(s string) bool

//go:linkname getCACertFromKubeconfig k8s.io/kubernetes/cmd/kubeadm/app/discovery.getCACertFromKubeconfig
func getCACertFromKubeconfig(config *clientcmdapi.Config) (*x509.Certificate, error)

//go:linkname ensureCompatible k8s.io/client-go/util/certificate/csr.ensureCompatible
func ensureCompatible(found, own *certificatesv1.CertificateSigningRequest, privateKey any) error
