// Prints what Cluster API's kubeadm bootstrap provider gives a worker: cloud-init's user-data, or with the argument
// "ignition" an Ignition configuration. What the controller does around its own generator is repeated here: the taint, the
// flag of verbosity, the version.
package main

import (
	"fmt"
	"os"

	"github.com/blang/semver/v4"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/bootstrap/kubeadm/internal/cloudinit"
	"sigs.k8s.io/cluster-api/bootstrap/kubeadm/internal/ignition"
	kubeadmtypes "sigs.k8s.io/cluster-api/bootstrap/kubeadm/types"
)

func main() {
	join := &bootstrapv1.JoinConfiguration{
		NodeRegistration: bootstrapv1.NodeRegistrationOptions{
			Name:      "machine-1",
			CRISocket: "unix:///run/fixture.sock",
			Taints: &[]corev1.Taint{
				{Key: "example.com/boot", Value: "yes", Effect: corev1.TaintEffectNoSchedule},
				clusterv1.NodeUninitializedTaint,
			},
			KubeletExtraArgs: []bootstrapv1.Arg{
				{Name: "node-labels", Value: ptr.To("example.com/rack=r1,example.com/zone=z")},
				{Name: "v", Value: ptr.To("2")},
			},
			IgnorePreflightErrors: []string{"DirAvailable--etc-kubernetes-manifests"},
			ImagePullPolicy:       corev1.PullIfNotPresent,
		},
		Discovery: bootstrapv1.Discovery{BootstrapToken: bootstrapv1.BootstrapTokenDiscovery{
			Token:             "abcdef.0123456789abcdef",
			APIServerEndpoint: "fixture.invalid:6443",
			CACertHashes:      []string{"sha256:0000000000000000000000000000000000000000000000000000000000000000"},
		}},
		Patches: bootstrapv1.Patches{Directory: "/etc/kubernetes/patches"},
	}
	version := semver.MustParse("1.36.3")
	text, err := kubeadmtypes.MarshalJoinConfigurationForVersion(join, version)
	if err != nil {
		panic(err)
	}
	node := &cloudinit.NodeInput{
		BaseUserData: cloudinit.BaseUserData{
			AdditionalFiles: []bootstrapv1.File{{
				Path: "/etc/kubernetes/patches/kubeletconfiguration0+json.yaml", Owner: "root:root", Permissions: "0644",
				Content: "- {op: add, path: /maxPods, value: 42}\n",
			}, {
				Path: "/etc/kubernetes/encoded", Owner: "root:root", Permissions: "0600",
				Encoding: bootstrapv1.Base64, Content: "YQo=",
			}},
			PreKubeadmCommands:  []string{"echo before >>/run/commands", "test ! -e /etc/kubernetes/kubelet.conf"},
			PostKubeadmCommands: []string{"echo after >>/run/commands"},
			KubeadmVerbosity:    "--v 5",
			KubernetesVersion:   version,
		},
		JoinConfiguration: text,
	}
	var data []byte
	if len(os.Args) > 1 && os.Args[1] == "ignition" {
		data, _, err = ignition.NewNode(&ignition.NodeInput{NodeInput: node, Ignition: &bootstrapv1.IgnitionSpec{}})
	} else {
		data, err = cloudinit.NewNode(node)
	}
	if err != nil {
		panic(err)
	}
	fmt.Print(string(data))
}
