package main

import (
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	kubeadmapiv1 "k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm/v1beta4"
	kubeadm "k8s.io/kubernetes/cmd/kubeadm/app/cmd"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app/options"
)

// The flags of kubeadm join or of the kubelet, those that the help does not list among them.
var _ = question("flags", func(program string) (any, error) {
	names := []string{}
	add := func(flag *pflag.Flag) { names = append(names, flag.Name) }
	switch program {
	case "kubeadm join":
		command, _, err := kubeadm.NewKubeadmCommand(nil, io.Discard, io.Discard).Find([]string{"join"})
		if err != nil {
			panic(err)
		}
		command.InheritedFlags().VisitAll(add)
		command.LocalFlags().VisitAll(add)
	case "kubelet":
		flags := pflag.NewFlagSet(program, pflag.ContinueOnError)
		kubelet.NewKubeletFlags().AddFlags(flags)
		config, err := kubelet.NewKubeletConfiguration()
		if err != nil {
			panic(err)
		}
		kubelet.AddKubeletConfigFlags(flags, config)
		kubelet.AddGlobalFlags(flags)
		flags.VisitAll(add)
	default:
		panic("no such program: " + program)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
})

// The fields of a JoinConfiguration, as in nodeRegistration.taints.key.
var _ = question("join configuration fields", func(struct{}) (any, error) {
	return fields("", reflect.TypeFor[kubeadmapiv1.JoinConfiguration]()), nil
})

func fields(prefix string, of reflect.Type) []string {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || of.Name() == "Duration" {
		return []string{prefix}
	}
	found := []string{}
	for field := range of.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if strings.Contains(options, "inline") {
			found = append(found, fields(prefix, field.Type)...)
		} else if prefix != "" {
			found = append(found, fields(prefix+"."+name, field.Type)...)
		} else {
			found = append(found, fields(name, field.Type)...)
		}
	}
	return found
}
