package main

import (
	"net"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/argoseal/argoseal/pkg/sentinel/agent"
)

// clientName is the common name of the controller's certificate.
const clientName = "argoseal-sentinel"

func agentCommand() *cobra.Command {
	var path, listen, client string
	var files agent.TLS
	c := &cobra.Command{
		Use:   "agent",
		Short: "Keep the encryption file of this node's API server",
		Long: `Keep the encryption file of this node's API server.

The API server has to be started with --encryption-provider-config=FILE and
--encryption-provider-config-automatic-reload; where it runs in a container, mount
the file's folder, not the file. The agent serves the file to the controller
alone, and logs no key.`,
		Example: `  argoseal-sentinel agent --file /etc/kubernetes/encryption/config.yaml \
    --tls-cert agent.crt --tls-key agent.key --client-ca ca.crt`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			file := &agent.File{Path: path}
			if err := file.Clean(); err != nil {
				return err
			}
			l, err := (&net.ListenConfig{}).Listen(c.Context(), "tcp", listen)
			if err != nil {
				return err
			}
			log := ctrl.Log.WithName("agent")
			log.Info("Serving", "address", l.Addr().String(), "file", path)
			return agent.Serve(c.Context(), l, agent.Handler(file, log), files, client)
		},
	}
	f := c.Flags()
	f.StringVar(&path, "file", "", "the API server's encryption file")
	f.StringVar(&listen, "listen", ":9440", "address to serve at")
	f.StringVar(&files.Cert, "tls-cert", "", "certificate of this agent, for the name or address that the controller calls")
	f.StringVar(&files.Key, "tls-key", "", "its key")
	f.StringVar(&files.CA, "client-ca", "", "certificates of who signs the controller's")
	f.StringVar(&client, "client-name", clientName, "common name of the controller's certificate")
	require(c, "file", "tls-cert", "tls-key", "client-ca")
	return c
}

// require marks flags without which a command cannot run.
func require(c *cobra.Command, names ...string) {
	for _, name := range names {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // the flag does not exist
		}
	}
}
