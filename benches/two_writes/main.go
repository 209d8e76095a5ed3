// The least that a client can do to get requests approved and signed, and the load and the
// stopwatch for that: the standard library alone, kept-alive connections, no cache.
//
//	create  N requests, as fast as the API server takes them
//	write   approval and certificate for all that are there: two writes each
//	approve approval alone
//	watch   until N have a certificate: the rate from the first approval (with -signed: from the
//	        first certificate) to the last certificate
//	light   N requests at a steady rate: from creation to certificate, each
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sort"
	"strings"
	"sync"
	"time"
)

const path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"

var (
	server   = flag.String("server", "", "URL of the API server")
	ca       = flag.String("ca", "", "its CA")
	cert     = flag.String("cert", "", "client certificate")
	key      = flag.String("key", "", "its key")
	token    = flag.String("token", "", "a token's file, instead of a certificate")
	signer   = flag.String("signer", "", "signer name")
	csr      = flag.String("csr", "", "file of the request")
	issued   = flag.String("issued", "", "file of the certificate that is written")
	count    = flag.Int("n", 1000, "how many")
	parallel = flag.Int("parallel", 16, "how many at a time")
	rate     = flag.Float64("rate", 10, "requests a second")
	prefix   = flag.String("prefix", "bench", "of the names")
	usages   = flag.String("usages", "digital signature,key encipherment,server auth", "of the requests")
	signed   = flag.Bool("signed", false, "count from the first certificate")
	limit    = flag.Duration("limit", 2*time.Minute, "when to give up")
)

var client *http.Client

var bearer string

func main() {
	flag.Parse()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(read(*ca))
	config := &tls.Config{RootCAs: pool}
	if *token != "" {
		bearer = "Bearer " + string(bytes.TrimSpace(read(*token)))
	} else {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		check(err)
		config.Certificates = []tls.Certificate{pair}
	}
	client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: config, MaxIdleConnsPerHost: 64, DisableCompression: true,
	}}
	time.AfterFunc(*limit, func() { check(fmt.Errorf("not done within %s", *limit)) })
	switch flag.Arg(0) {
	case "create":
		each(*count, func(i int) { create(fmt.Sprintf("%s-%d", *prefix, i)) })
	case "write":
		write(true)
	case "approve":
		write(false)
	case "watch":
		watch(flag.Arg(0), *count, nil)
	case "light":
		light()
	default:
		check(fmt.Errorf("create, write, approve, watch or light?"))
	}
}

type object = map[string]any

func create(name string) {
	body, _ := json.Marshal(object{
		"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
		"metadata": object{"name": name},
		"spec": object{
			"request": base64.StdEncoding.EncodeToString(read(*csr)), "signerName": *signer,
			"usages": strings.Split(*usages, ","),
		},
	})
	send("POST", path, body)
}

func write(sign bool) {
	var list struct{ Items []object }
	check(json.Unmarshal(send("GET", path+"?fieldSelector="+selector(), nil), &list))
	certificate := base64.StdEncoding.EncodeToString(read(*issued))
	began := time.Now()
	each(len(list.Items), func(i int) {
		item := list.Items[i]
		name := item["metadata"].(object)["name"].(string)
		item["status"] = object{"conditions": []any{object{
			"type": "Approved", "status": "True", "reason": "Bench", "message": "two writes",
		}}}
		body, _ := json.Marshal(item)
		var approved object
		check(json.Unmarshal(send("PUT", path+"/"+name+"/approval", body), &approved))
		if !sign {
			return
		}
		approved["status"].(object)["certificate"] = certificate
		body, _ = json.Marshal(approved)
		send("PUT", path+"/"+name+"/status", body)
	})
	took := time.Since(began)
	fmt.Printf(`{"count": %d, "seconds": %f}`+"\n", len(list.Items), took.Seconds())
}

func selector() string { return url.QueryEscape("spec.signerName=" + *signer) }

// Calls each with the name of every request that has its certificate.
func watch(_ string, want int, each func(string, time.Time)) {
	response := open("GET", path+"?watch=true&allowWatchBookmarks=false&fieldSelector="+selector(), nil)
	defer response.Body.Close()
	lines := bufio.NewReaderSize(response.Body, 1<<20)
	done := map[string]bool{}
	var first, last time.Time
	for len(done) < want {
		line, err := lines.ReadBytes('\n')
		check(err)
		var event struct {
			Object struct {
				Metadata struct{ Name string }
				Status   struct {
					Certificate string
					Conditions  []any
				}
			}
		}
		check(json.Unmarshal(line, &event))
		status := event.Object.Status
		now := time.Now()
		if first.IsZero() && (status.Certificate != "" || !*signed && len(status.Conditions) > 0) {
			first = now
		}
		if status.Certificate == "" || done[event.Object.Metadata.Name] {
			continue
		}
		done[event.Object.Metadata.Name] = true
		last = now
		if each != nil {
			each(event.Object.Metadata.Name, now)
		}
	}
	if each == nil {
		fmt.Printf(`{"count": %d, "seconds": %f}`+"\n", len(done), last.Sub(first).Seconds())
	}
}

func light() {
	var lock sync.Mutex
	began := map[string]time.Time{}
	var took []float64
	over := make(chan struct{})
	go func() {
		watch("", *count, func(name string, at time.Time) {
			lock.Lock()
			defer lock.Unlock()
			if start, ok := began[name]; ok {
				took = append(took, float64(at.Sub(start).Microseconds())/1000)
			}
		})
		close(over)
	}()
	time.Sleep(200 * time.Millisecond)
	tick := time.NewTicker(time.Duration(float64(time.Second) / *rate))
	for i := 0; i < *count; i++ {
		<-tick.C
		name := fmt.Sprintf("%s-%d", *prefix, i)
		lock.Lock()
		began[name] = time.Now()
		lock.Unlock()
		go create(name)
	}
	<-over
	sort.Float64s(took)
	at := func(q float64) float64 { return took[int(q*float64(len(took)-1)+0.5)] }
	fmt.Printf(`{"count": %d, "p50": %f, "p99": %f, "max": %f}`+"\n", len(took), at(0.5), at(0.99), at(1))
}

func each(n int, do func(int)) {
	next := make(chan int)
	var workers sync.WaitGroup
	for range *parallel {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for i := range next {
				do(i)
			}
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
}

func send(method, path string, body []byte) []byte {
	response := open(method, path, body)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	check(err)
	return answer
}

func open(method, path string, body []byte) *http.Response {
	request, err := http.NewRequest(method, *server+path, bytes.NewReader(body))
	check(err)
	request.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		request.Header.Set("Authorization", bearer)
	}
	response, err := client.Do(request)
	check(err)
	if response.StatusCode >= 300 {
		answer, _ := io.ReadAll(response.Body)
		check(fmt.Errorf("%s %s: %s", method, path, answer))
	}
	return response
}

func read(file string) []byte {
	content, err := os.ReadFile(file)
	check(err)
	return content
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
