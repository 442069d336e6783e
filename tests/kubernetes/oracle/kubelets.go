package main

import (
	"fmt"
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

// The kubelet's files as `kubeadm join` writes them, with the machine's own name, and with these files in the directory of
// patches, if there are any. Some patches stop kubeadm with a panic, which is an error here.
var _ = question("write kubelet files", func(in struct {
	Config    string      `json:"config"`
	CRISocket string      `json:"criSocket"`
	Name      string      `json:"name"`
	Taints    [][3]string `json:"taints"`
	Arguments [][2]string `json:"arguments"`
	Patches   []struct {
		Path string `json:"path"`
		Text string `json:"text"`
	} `json:"patches"`
}) (written any, err error) {
	folder, err := os.MkdirTemp("", "nodestrap-oracle-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	patches := ""
	if in.Patches != nil {
		defer func() {
			if problem := recover(); problem != nil {
				err = fmt.Errorf("panic: %v", problem)
			}
		}()
		patches = filepath.Join(folder, "patches")
	}
	for _, patch := range in.Patches {
		file := filepath.Join(patches, patch.Path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			panic(err)
		}
		if err := os.WriteFile(file, []byte(patch.Text), 0o644); err != nil {
			panic(err)
		}
	}

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
	if err := kubelet.WriteConfigToDisk(clusterConfig, folder, patches, io.Discard); err != nil {
		return nil, err
	}
	if err := kubelet.WriteKubeletDynamicEnvFile(clusterConfig, registration, true, folder); err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, name := range []string{
		constants.KubeletConfigurationFileName, constants.KubeletInstanceConfigurationFileName, constants.KubeletEnvFileName,
	} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			panic(err)
		}
		files[name] = string(text)
	}
	_, files["hostname"], _ = kubelet.GetNodeNameAndHostname(&kubeadmapi.NodeRegistrationOptions{})
	return files, nil
})
