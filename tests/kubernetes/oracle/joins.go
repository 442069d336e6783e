package main

import (
	"k8s.io/apimachinery/pkg/runtime"

	kubeadmscheme "k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm/scheme"
	"k8s.io/kubernetes/cmd/kubeadm/app/constants"
	"k8s.io/kubernetes/cmd/kubeadm/app/util"
	"k8s.io/kubernetes/cmd/kubeadm/app/util/config"
	"k8s.io/kubernetes/cmd/kubeadm/app/util/config/strict"
	"k8s.io/kubernetes/cmd/kubeadm/app/util/pubkeypin"
)

// A JoinConfiguration as kubeadm reads it, with its defaults, once it has found it valid. strict is what it warns of.
var _ = question("join configuration", func(text string) (any, error) {
	read, err := config.BytesToJoinConfiguration([]byte(text), config.LoadOrDefaultConfigurationOptions{SkipCRIDetect: true})
	if err != nil {
		return nil, err
	}
	taints := []string{}
	for _, taint := range read.NodeRegistration.Taints {
		taints = append(taints, taint.ToString())
	}
	arguments := []string{}
	for _, argument := range read.NodeRegistration.KubeletExtraArgs {
		arguments = append(arguments, argument.Name+"="+argument.Value)
	}
	found := map[string]any{
		"tlsBootstrapToken": read.Discovery.TLSBootstrapToken, "name": read.NodeRegistration.Name,
		"criSocket": read.NodeRegistration.CRISocket, "taints": taints, "arguments": arguments,
		"caCertPath": read.CACertPath, "dryRun": read.DryRun, "controlPlane": read.ControlPlane != nil,
		"discoveryTimeout":    read.Timeouts.Discovery.Nanoseconds(),
		"tlsBootstrapTimeout": read.Timeouts.TLSBootstrap.Nanoseconds(),
	}
	if file := read.Discovery.File; file != nil {
		found["file"] = file.KubeConfigPath
		found["isURL"] = isHTTPSURL(file.KubeConfigPath)
	}
	if token := read.Discovery.BootstrapToken; token != nil {
		found["endpoint"] = token.APIServerEndpoint
		found["token"] = token.Token
		found["pins"] = token.CACertHashes
		found["unsafe"] = token.UnsafeSkipCAVerification
		// Judged by kubeadm when it discovers.
		if err := pubkeypin.NewSet().Allow(token.CACertHashes...); err != nil {
			return nil, err
		}
	}
	found["strict"] = ""
	documents, err := util.SplitConfigDocuments([]byte(text))
	if err != nil {
		panic(err)
	}
	for kind, document := range documents {
		if kind.Kind == constants.JoinConfigurationKind {
			if err := strict.VerifyUnmarshalStrict([]*runtime.Scheme{kubeadmscheme.Scheme}, kind, document); err != nil {
				found["strict"] = err.Error()
			}
		}
	}
	return found, nil
})
