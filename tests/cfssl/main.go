// Does what `cfssl genkey`, `cfssl genkey -initca` and `cfssl sign` do, by cfssl's own
// packages, for many inputs in one process: a JSON object with cases on standard input,
// a JSON list of results on standard output.
package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cloudflare/cfssl/config"
	"github.com/cloudflare/cfssl/csr"
	"github.com/cloudflare/cfssl/helpers"
	"github.com/cloudflare/cfssl/initca"
	"github.com/cloudflare/cfssl/log"
	"github.com/cloudflare/cfssl/signer"
	"github.com/cloudflare/cfssl/signer/local"
)

type input struct {
	CA    string `json:"ca"`
	CAKey string `json:"ca_key"`
	Cases []kase `json:"cases"`
}

type kase struct {
	Kind    string   `json:"kind"` // csr, root, sign
	JSON    string   `json:"json"`
	Profile string   `json:"profile"`
	CSR     string   `json:"csr"`
	Hosts   []string `json:"hosts"`
}

type result struct {
	At    int64  `json:"at"` // when, in seconds
	Error string `json:"error,omitempty"`
	PEM   string `json:"pem,omitempty"`
}

func main() {
	log.Level = log.LevelFatal
	var in input
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		fmt.Fprintln(os.Stderr, "cfssl-peer:", err)
		os.Exit(1)
	}
	results := make([]result, len(in.Cases))
	for i, c := range in.Cases {
		at := time.Now().Unix()
		results[i] = run(&in, c)
		results[i].At = at
	}
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		os.Exit(1)
	}
}

func run(in *input, c kase) (r result) {
	defer func() {
		if p := recover(); p != nil {
			r = result{Error: fmt.Sprint("panic: ", p)}
		}
	}()
	var out []byte
	var err error
	switch c.Kind {
	case "csr":
		out, err = genkey(c)
	case "root":
		out, err = root(c)
	case "sign":
		out, err = sign(in, c)
	default:
		err = errors.New("unknown kind " + c.Kind)
	}
	if err != nil {
		return result{Error: err.Error()}
	}
	return result{PEM: string(out)}
}

// cli/genkey, genkeyMain
func request(c kase) (*csr.CertificateRequest, error) {
	req := csr.CertificateRequest{KeyRequest: csr.NewKeyRequest()}
	err := json.Unmarshal([]byte(c.JSON), &req)
	return &req, err
}

func genkey(c kase) ([]byte, error) {
	req, err := request(c)
	if err != nil {
		return nil, err
	}
	if req.CA != nil {
		return nil, errors.New("ca section only permitted in initca")
	}
	out, _, err := csr.ParseRequest(req)
	return out, err
}

func root(c kase) ([]byte, error) {
	req, err := request(c)
	if err != nil {
		return nil, err
	}
	out, _, _, err := initca.New(req)
	return out, err
}

// cli/sign, signerMain
func sign(in *input, c kase) ([]byte, error) {
	cfg, err := config.LoadConfig([]byte(c.JSON))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(in.CA))
	if block == nil {
		return nil, errors.New("no CA")
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, err := helpers.ParsePrivateKeyPEM([]byte(in.CAKey))
	if err != nil {
		return nil, err
	}
	s, err := local.NewSigner(key, ca, signer.DefaultSigAlgo(key), cfg.Signing)
	if err != nil {
		return nil, err
	}
	return s.Sign(signer.SignRequest{Hosts: c.Hosts, Request: c.CSR, Profile: c.Profile})
}
