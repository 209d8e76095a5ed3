// bare-requests sends requests that are ready made to an API server, over HTTP/1.1 with
// connections that are kept, so many at a time, and reads the answers to their end.
//
//	bare-requests SERVER CA CERT KEY PARALLEL ACCEPT < REQUESTS
//
// A request is a line: METHOD, PATH, CONTENT-TYPE and BODY, with tabs between them.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bare-requests:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 6 {
		return fmt.Errorf("usage: bare-requests SERVER CA CERT KEY PARALLEL ACCEPT < REQUESTS")
	}
	server, accept := args[0], args[5]
	parallel, err := strconv.Atoi(args[4])
	if err != nil {
		return err
	}
	client, err := newClient(args[1], args[2], args[3], parallel)
	if err != nil {
		return err
	}
	lines := make(chan []byte)
	failed := make(chan error, parallel)
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() {
			for line := range lines {
				if err := send(client, server, accept, line); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			}
		})
	}
	reader := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) > 0 {
			lines <- bytes.TrimSuffix(line, []byte("\n"))
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	close(lines)
	workers.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func newClient(ca, cert, key string, parallel int) (*http.Client, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}},
		TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{},
		MaxIdleConnsPerHost: parallel,
		DisableCompression:  true,
	}}, nil
}

func send(client *http.Client, server, accept string, line []byte) error {
	parts := bytes.SplitN(line, []byte("\t"), 4)
	if len(parts) != 4 {
		return fmt.Errorf("a line has %d parts, not 4", len(parts))
	}
	path := string(parts[1])
	request, err := http.NewRequest(string(parts[0]), server+path, bytes.NewReader(parts[3]))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", string(parts[2]))
	request.Header.Set("Accept", accept)
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		text, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("%s %s: %s: %s", parts[0], path, answer.Status, text)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}
