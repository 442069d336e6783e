package main

import (
	"io"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
	kubeletconfig "k8s.io/kubelet/config/v1beta1"

	kubeadmapi "k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm"
	"k8s.io/kubernetes/cmd/kubeadm/app/componentconfigs"
	"k8s.io/kubernetes/cmd/kubeadm/app/constants"
	"k8s.io/kubernetes/cmd/kubeadm/app/phases/kubelet"
	"k8s.io/kubernetes/cmd/kubeadm/app/util"
	"k8s.io/kubernetes/cmd/kubeadm/app/util/config"
)

// The kubelet's files as `kubeadm join` writes them, with the machine's own name.
var _ = question("write kubelet files", func(in struct {
	Config    string      `json:"config"`
	CRISocket string      `json:"criSocket"`
	Name      string      `json:"name"`
	Taints    [][3]string `json:"taints"`
	Arguments [][2]string `json:"arguments"`
}) (any, error) {
	folder, err := os.MkdirTemp("", "nodestrap-oracle-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)

	// What join fetches from a cluster that kubeadm made with its defaults.
	fetched, err := config.DefaultedStaticInitConfiguration()
	if err != nil {
		panic(err)
	}
	clusterConfig := &fetched.ClusterConfiguration
	clusterConfig.ComponentConfigs = nil
	documents, err := util.SplitConfigDocuments([]byte(in.Config))
	if err != nil {
		return nil, err
	}
	if err := componentconfigs.FetchFromDocumentMap(clusterConfig, documents); err != nil {
		return nil, err
	}
	if _, found := clusterConfig.ComponentConfigs[componentconfigs.KubeletGroup]; !found {
		return nil, os.ErrNotExist
	}
	registration := &kubeadmapi.NodeRegistrationOptions{Name: in.Name, CRISocket: in.CRISocket}
	for _, taint := range in.Taints {
		registration.Taints = append(registration.Taints, v1.Taint{Key: taint[0], Value: taint[1], Effect: v1.TaintEffect(taint[2])})
	}
	for _, argument := range in.Arguments {
		registration.KubeletExtraArgs = append(registration.KubeletExtraArgs, kubeadmapi.Arg{Name: argument[0], Value: argument[1]})
	}
	componentconfigs.Default(clusterConfig, &fetched.LocalAPIEndpoint, registration)

	instance := &kubeletconfig.KubeletConfiguration{ContainerRuntimeEndpoint: in.CRISocket}
	if err := kubelet.WriteInstanceConfigToDisk(instance, folder); err != nil {
		return nil, err
	}
	if err := kubelet.WriteConfigToDisk(clusterConfig, folder, "", io.Discard); err != nil {
		return nil, err
	}
	if err := kubelet.WriteKubeletDynamicEnvFile(clusterConfig, registration, true, folder); err != nil {
		return nil, err
	}
	written := map[string]string{}
	for _, name := range []string{
		constants.KubeletConfigurationFileName, constants.KubeletInstanceConfigurationFileName, constants.KubeletEnvFileName,
	} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			panic(err)
		}
		written[name] = string(text)
	}
	_, written["hostname"], _ = kubelet.GetNodeNameAndHostname(&kubeadmapi.NodeRegistrationOptions{})
	return written, nil
})
