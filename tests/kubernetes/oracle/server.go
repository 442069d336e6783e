package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// apiServer issues the certificate of every request at once, as a cluster that approves all does.
type apiServer struct {
	start sync.Once
	http  *httptest.Server
	key   *ecdsa.PrivateKey

	mutex    sync.Mutex
	requests []certificatesv1.CertificateSigningRequest
	bearers  []string
}

var server apiServer

const requestsPath = "/apis/certificates.k8s.io/v1/certificatesigningrequests"

func (s *apiServer) started() *httptest.Server {
	s.start.Do(func() {
		var err error
		if s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			panic(err)
		}
		s.http = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	})
	return s.http
}

func (s *apiServer) url() string {
	return s.started().URL
}

// authority is the server's own certificate, which signs itself.
func (s *apiServer) authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.started().Certificate().Raw})
}

func (s *apiServer) reset() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.requests, s.bearers = nil, nil
}

// seen is what was requested, and by whom.
func (s *apiServer) seen() any {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return map[string]any{"requests": s.requests, "bearers": s.bearers}
}

func (s *apiServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	w.Header().Set("Content-Type", "application/json")
	reply := func(object any) {
		if err := json.NewEncoder(w).Encode(object); err != nil {
			panic(err)
		}
	}
	switch {
	case r.URL.Path == "/healthz":
		w.Write([]byte("ok"))
	case r.URL.Path == requestsPath && r.Method == http.MethodPost:
		var request certificatesv1.CertificateSigningRequest
		body, err := io.ReadAll(r.Body)
		if err == nil {
			// In protobuf.
			_, _, err = scheme.Codecs.UniversalDeserializer().Decode(body, nil, &request)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		request.TypeMeta = metav1.TypeMeta{APIVersion: "certificates.k8s.io/v1", Kind: "CertificateSigningRequest"}
		request.UID, request.ResourceVersion = "the-uid", "1"
		request.Status.Certificate = s.issue(request.Spec.Request)
		request.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{
			{Type: certificatesv1.CertificateApproved, Status: v1.ConditionTrue},
		}
		s.requests = append(s.requests, request)
		s.bearers = append(s.bearers, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		w.WriteHeader(http.StatusCreated)
		reply(request)
	case r.URL.Path == requestsPath && r.URL.Query().Get("watch") != "":
		// All that a watch with initial events says: what is there, and the mark behind it.
		for _, request := range s.requests {
			reply(map[string]any{"type": "ADDED", "object": request})
		}
		mark := certificatesv1.CertificateSigningRequest{}
		mark.TypeMeta = metav1.TypeMeta{APIVersion: "certificates.k8s.io/v1", Kind: "CertificateSigningRequest"}
		mark.ResourceVersion = "2"
		mark.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
		reply(map[string]any{"type": "BOOKMARK", "object": mark})
	case r.URL.Path == requestsPath:
		reply(certificatesv1.CertificateSigningRequestList{
			TypeMeta: metav1.TypeMeta{APIVersion: "certificates.k8s.io/v1", Kind: "CertificateSigningRequestList"},
			ListMeta: metav1.ListMeta{ResourceVersion: "2"}, Items: s.requests,
		})
	default:
		http.NotFound(w, r)
	}
}

func (s *apiServer) issue(request []byte) []byte {
	block, _ := pem.Decode(request)
	if block == nil {
		return nil
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil {
		return nil
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: csr.Subject, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	issuer := &x509.Certificate{Subject: pkix.Name{CommonName: "kubernetes"}}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, csr.PublicKey, s.key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
