package main

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"
	"k8s.io/apimachinery/pkg/util/validation"
	restclient "k8s.io/client-go/rest"
	nodeutil "k8s.io/component-helpers/node/util"
)

// The proxy that Go takes for a request; empty for none.
var _ = question("proxy", func(in struct {
	Proxy   string `json:"proxy"`
	NoProxy string `json:"noProxy"`
	URL     string `json:"url"`
}) (any, error) {
	target, err := url.Parse(in.URL)
	if err != nil {
		panic(err)
	}
	config := httpproxy.Config{HTTPSProxy: in.Proxy, NoProxy: in.NoProxy}
	proxy, err := config.ProxyFunc()(target)
	if proxy == nil || err != nil {
		return "", err
	}
	return proxy.String(), nil
})

// The address that Go's transport dials for a proxy's URL, and what it would show there.
var _ = question("proxy address", func(text string) (any, error) {
	config := httpproxy.Config{HTTPSProxy: text}
	proxy, err := config.ProxyFunc()(&url.URL{Scheme: "https", Host: "api.example:6443"})
	if err != nil {
		return nil, err
	}
	if proxy == nil {
		return nil, nil
	}
	request := &http.Request{Header: http.Header{}}
	if proxy.User != nil {
		password, _ := proxy.User.Password()
		request.SetBasicAuth(proxy.User.Username(), password)
	}
	return map[string]string{
		"scheme": strings.ToLower(proxy.Scheme), "host": strings.ToLower(proxy.Hostname()), "port": proxy.Port(),
		"authorization": request.Header.Get("Authorization"),
	}, nil
})

// Nanoseconds.
var _ = question("duration", func(text string) (any, error) {
	duration, err := time.ParseDuration(text)
	return duration.Nanoseconds(), err
})

// The API server that a join is told of: kubeadm splits it, and asks a URL made of it.
var _ = question("endpoint", func(text string) (any, error) {
	if _, _, err := net.SplitHostPort(text); err != nil {
		return nil, err
	}
	return place("https://" + text)
})

// A server of a kubeconfig.
var _ = question("server", func(text string) (any, error) { return place(text) })

// place is where client-go finds the API that this server has: host, port and path.
func place(server string) (any, error) {
	config := &restclient.Config{Host: server, TLSClientConfig: restclient.TLSClientConfig{CAData: []byte("a CA")}}
	base, _, err := restclient.DefaultServerUrlFor(config)
	if err != nil {
		return nil, err
	}
	return map[string]string{"host": base.Hostname(), "port": base.Port(), "path": base.EscapedPath()}, nil
}

// The name of a node as kubeadm makes it of what it is told.
var _ = question("node name", func(text string) (any, error) {
	name, err := nodeutil.GetHostname(text)
	if err != nil {
		return nil, err
	}
	return map[string]any{"name": name, "problems": validation.IsDNS1123Subdomain(name)}, nil
})
