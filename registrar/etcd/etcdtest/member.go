package etcdtest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
)

// memberEnv makes a process a member: it holds a memberConfig as JSON.
const memberEnv = "SIDEKICK_TEST_ETCD_MEMBER"

// memberConfig is what a member's process is told.
type memberConfig struct {
	Name, Dir, Client, Peer, Cluster string
	CertFile, KeyFile, ClientCAFile  string
}

// RunMember is an etcd member, and does not return, in a process that Start
// made; anywhere else it does nothing.
func RunMember() {
	text := os.Getenv(memberEnv)
	if text == "" {
		return
	}
	if err := serve(text); err != nil {
		fmt.Fprintln(os.Stderr, "etcd member:", err)
	}
	os.Exit(1)
}

// serve runs the member until it fails or the process is killed.
func serve(text string) error {
	var m memberConfig
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return err
	}
	config, err := m.embedConfig()
	if err != nil {
		return err
	}
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	return <-etcd.Err()
}

func (m memberConfig) embedConfig() (*embed.Config, error) {
	client, err := url.Parse(m.Client)
	if err != nil {
		return nil, err
	}
	peer, err := url.Parse(m.Peer)
	if err != nil {
		return nil, err
	}
	c := embed.NewConfig()
	c.Name, c.Dir = m.Name, m.Dir
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	c.InitialCluster = m.Cluster
	c.LogLevel = "warn"
	c.BcryptCost = 4       // the least: a login is not what tests wait for
	c.UnsafeNoFsync = true // members are killed, the machine is not
	c.MaxTxnOps = 128      // as etcd's default
	c.AutoCompactionMode = "revision"
	if !strings.Contains(m.Cluster, ",") {
		c.TickMs, c.ElectionMs = 10, 100 // nobody to lose an election to: serve at once
	}
	if m.CertFile != "" {
		c.ClientTLSInfo = transport.TLSInfo{
			CertFile: m.CertFile, KeyFile: m.KeyFile,
			TrustedCAFile: m.ClientCAFile, ClientCertAuth: m.ClientCAFile != "",
		}
	}
	return c, nil
}
