// The manager of a small operator whose only work is to serve webhooks.
package main

import (
	"crypto/tls"
	"flag"
	"net/http"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	examplev1 "example.certtool.dev/operator/api/v1"
	examplev1beta1 "example.certtool.dev/operator/api/v1beta1"
	webhookv1 "example.certtool.dev/operator/internal/webhook/v1"
)

var (
	scheme   = runtime.NewScheme()
	setupLog = ctrl.Log.WithName("setup")
)

func init() {
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(examplev1.AddToScheme(scheme))
	utilruntime.Must(examplev1beta1.AddToScheme(scheme))
}

// +kubebuilder:rbac:groups=example.certtool.dev,resources=widgets,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups=example.certtool.dev,resources=widgets/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=example.certtool.dev,resources=widgets/finalizers,verbs=update

func main() {
	var webhookCertPath, webhookCertName, webhookCertKey, webhookHost string
	var metricsAddr, metricsCertPath, metricsCertName, metricsCertKey, probeAddr string
	var webhookPort int
	var leaderElect, secureMetrics, enableHTTP2, closeConnections bool
	flag.StringVar(&metricsAddr, "metrics-bind-address", "0", "The address the metrics endpoint binds to. "+
		"Use :8443 for HTTPS or :8080 for HTTP, or leave as 0 to disable the metrics service.")
	flag.BoolVar(&secureMetrics, "metrics-secure", true,
		"If set, the metrics endpoint is served via HTTPS. Use --metrics-secure=false to use HTTP instead.")
	flag.StringVar(&metricsCertPath, "metrics-cert-path", "",
		"The directory that contains the metrics server certificate; self-signed if empty.")
	flag.StringVar(&metricsCertName, "metrics-cert-name", "tls.crt", "The name of the metrics server certificate file.")
	flag.StringVar(&metricsCertKey, "metrics-cert-key", "tls.key", "The name of the metrics server key file.")
	flag.StringVar(&probeAddr, "health-probe-bind-address", ":8081",
		"The address the probe endpoint binds to, or 0 for none.")
	flag.BoolVar(&leaderElect, "leader-elect", false, "Enable leader election for the manager.")
	flag.StringVar(&webhookCertPath, "webhook-cert-path", "",
		"The directory that contains the webhook certificate. "+
			"If empty, k8s-webhook-server/serving-certs in the directory for temporary files.")
	flag.StringVar(&webhookCertName, "webhook-cert-name", "tls.crt", "The name of the webhook certificate file.")
	flag.StringVar(&webhookCertKey, "webhook-cert-key", "tls.key", "The name of the webhook key file.")
	flag.StringVar(&webhookHost, "webhook-host", "", "The address the webhook server binds to; all if empty.")
	flag.IntVar(&webhookPort, "webhook-port", 9443, "The port the webhook server listens on.")
	flag.BoolVar(&enableHTTP2, "enable-http2", false, "Enable HTTP/2 for the metrics and webhook servers.")
	flag.BoolVar(&closeConnections, "webhook-close-connections", false,
		"Answer one request per connection, so that each takes a TLS handshake of its own.")
	opts := zap.Options{Development: true}
	opts.BindFlags(flag.CommandLine)
	flag.Parse()

	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&opts)))

	var tlsOpts []func(*tls.Config)
	if !enableHTTP2 {
		// Keeps clear of the HTTP/2 Stream Cancellation and Rapid Reset attacks.
		tlsOpts = append(tlsOpts, func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} })
	}

	webhookOptions := webhook.Options{Host: webhookHost, Port: webhookPort, TLSOpts: tlsOpts}
	if webhookCertPath != "" {
		setupLog.Info("Initializing webhook certificate watcher using provided certificates",
			"webhook-cert-path", webhookCertPath, "webhook-cert-name", webhookCertName, "webhook-cert-key", webhookCertKey)
		webhookOptions.CertDir = webhookCertPath
		webhookOptions.CertName = webhookCertName
		webhookOptions.KeyName = webhookCertKey
	}

	metricsOptions := metricsserver.Options{BindAddress: metricsAddr, SecureServing: secureMetrics, TLSOpts: tlsOpts}
	if metricsCertPath != "" {
		setupLog.Info("Initializing metrics certificate watcher using provided certificates",
			"metrics-cert-path", metricsCertPath, "metrics-cert-name", metricsCertName, "metrics-cert-key", metricsCertKey)
		metricsOptions.CertDir = metricsCertPath
		metricsOptions.CertName = metricsCertName
		metricsOptions.KeyName = metricsCertKey
	}

	webhookServer := webhook.NewServer(webhookOptions)
	if closeConnections {
		webhookServer = closingServer{webhookServer}
	}

	mgr, err := ctrl.NewManager(ctrl.GetConfigOrDie(), ctrl.Options{
		Scheme:                 scheme,
		Metrics:                metricsOptions,
		WebhookServer:          webhookServer,
		HealthProbeBindAddress: probeAddr,
		LeaderElection:         leaderElect,
		LeaderElectionID:       "5f1d8a2c.example.certtool.dev",
	})
	if err != nil {
		setupLog.Error(err, "Failed to start manager")
		os.Exit(1)
	}

	ready := healthz.Checker(healthz.Ping)
	if os.Getenv("ENABLE_WEBHOOKS") != "false" {
		if err := webhookv1.SetupWidgetWebhookWithManager(mgr); err != nil {
			setupLog.Error(err, "Failed to create webhook", "webhook", "Widget")
			os.Exit(1)
		}
		ready = mgr.GetWebhookServer().StartedChecker()
	}

	if err := mgr.AddHealthzCheck("healthz", healthz.Ping); err != nil {
		setupLog.Error(err, "Failed to set up health check")
		os.Exit(1)
	}
	// With webhooks, ready once their server answers over TLS.
	if err := mgr.AddReadyzCheck("readyz", ready); err != nil {
		setupLog.Error(err, "Failed to set up ready check")
		os.Exit(1)
	}

	setupLog.Info("Starting manager")
	if err := mgr.Start(ctrl.SetupSignalHandler()); err != nil {
		setupLog.Error(err, "Failed to run manager")
		os.Exit(1)
	}
}

// closingServer asks the client to end the connection with each answer.
type closingServer struct{ webhook.Server }

// Register serves a path as the server does, but for the connection.
func (s closingServer) Register(path string, hook http.Handler) {
	s.Server.Register(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		hook.ServeHTTP(w, r)
	}))
}
