// load runs one row of the benchmark against one server and prints one line of JSON. The same binary loads both products,
// so what it costs itself weighs on both. It never outruns a subscriber by more than a window: what is measured is the
// server's pace, not how it treats slow consumers. Usage: load -server URLS -row NAME -count N -size BYTES -replicas R
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Result is what a row printed: a rate, or latencies of single operations.
type Result struct {
	Row    string  `json:"row"`
	Count  int     `json:"count"`
	Rate   float64 `json:"rate,omitempty"`   // operations a second; megabytes of objects
	P50us  float64 `json:"p50_us,omitempty"` // microseconds
	P99us  float64 `json:"p99_us,omitempty"`
	Errors int     `json:"errors"`
}

// Load holds what every row needs.
type Load struct {
	urls     string
	count    int
	size     int
	replicas int
}

var rows = map[string]func(*Load) (Result, error){
	"core_pub":  (*Load).corePub,
	"pubsub":    func(l *Load) (Result, error) { return l.fanOut(1) },
	"fanout":    func(l *Load) (Result, error) { return l.fanOut(20) },
	"request":   (*Load).request,
	"js_sync":   (*Load).jsSync,
	"js_async":  (*Load).jsAsync,
	"fetch_ack": (*Load).fetchAck,
	"idle":      (*Load).idleConsumers,

	"ordered_push": (*Load).orderedPush,
	"push_1":       func(l *Load) (Result, error) { return l.pushFanOut(1) },
	"push_100":     func(l *Load) (Result, error) { return l.pushFanOut(100) },
	"push_500":     func(l *Load) (Result, error) { return l.pushFanOut(500) },
	"mirror":       (*Load).mirror,
	"source":       (*Load).source,
	"atomic":       (*Load).atomicBatches,
	"fast":         (*Load).fastBatch,
	"direct_get":   (*Load).directGet,
	"direct_batch": (*Load).directBatch,
	"lookup":       (*Load).lookup,
	"kv_put":       (*Load).kvPut,
	"kv_get":       (*Load).kvGet,
	"kv_watch":     (*Load).kvWatch,
	"object_put":   (*Load).objectPut,
	"object_get":   (*Load).objectGet,

	"many_streams":       (*Load).manyStreams,
	"delete_streams":     (*Load).deleteStreams,
	"touch_streams":      (*Load).touchStreams,
	"list_streams":       (*Load).listStreams,
	"account_info":       (*Load).accountInfo,
	"many_consumers":     (*Load).manyConsumers,
	"use_consumers":      (*Load).useConsumers,
	"list_consumers":     (*Load).listConsumers,
	"fill_subjects":      (*Load).fillSubjects,
	"page_subjects":      (*Load).pageSubjects,
	"filtered_consumers": (*Load).filteredConsumers,
	"rewrite_subjects":   (*Load).rewriteSubjects,
	"large":              (*Load).large,
	"pending_fill":       (*Load).pendingFill,
	"pending_fetch":      (*Load).pendingFetch,
	"pending_ack":        (*Load).pendingAck,
	"pending_leader":     (*Load).pendingLeader,
}

func main() {
	load := &Load{}
	row := flag.String("row", "", "which row")
	flag.StringVar(&load.urls, "server", nats.DefaultURL, "URLs, the first one is connected to")
	flag.IntVar(&load.count, "count", 100000, "operations")
	flag.IntVar(&load.size, "size", 128, "payload bytes")
	flag.IntVar(&load.replicas, "replicas", 1, "replicas of streams")
	flag.Parse()
	run, known := rows[*row]
	if !known {
		fail(fmt.Errorf("no such row: %q", *row))
	}
	result, err := run(load)
	if err != nil {
		fail(err)
	}
	result.Row = *row
	_ = json.NewEncoder(os.Stdout).Encode(result)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "load:", err)
	os.Exit(1)
}

func (l *Load) connect() (*nats.Conn, error) {
	return nats.Connect(l.urls, nats.DontRandomize(), nats.Timeout(5*time.Second))
}

func (l *Load) payload() []byte {
	body := make([]byte, l.size)
	for i := range body {
		body[i] = 'x'
	}
	return body
}

func rate(count int, took time.Duration, errors int) Result {
	return Result{Count: count, Rate: float64(count) / took.Seconds(), Errors: errors}
}

func latencies(samples []time.Duration) Result {
	sort.Slice(samples, func(i, j int) bool { return samples[i] < samples[j] })
	at := func(q float64) float64 {
		return float64(samples[int(q*float64(len(samples)-1))].Nanoseconds()) / 1000
	}
	return Result{Count: len(samples), P50us: at(0.50), P99us: at(0.99)}
}

// sweep deletes what earlier rows made, so that every row's stream is placed as the only one.
func sweep(ctx context.Context, js jetstream.JetStream) {
	for _, name := range []string{"BENCH", "KV_BENCH", "OBJ_BENCH", "FOLLOWER"} {
		_ = js.DeleteStream(ctx, name)
	}
}

// js connects and makes a fresh stream named BENCH on bench.js, led wherever the server likes.
func (l *Load) js(ctx context.Context) (*nats.Conn, jetstream.JetStream, jetstream.Stream, error) {
	connection, err := l.connect()
	if err != nil {
		return nil, nil, nil, err
	}
	js, err := jetstream.New(connection, jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		return nil, nil, nil, err
	}
	sweep(ctx, js)
	config := jetstream.StreamConfig{
		Name: "BENCH", Subjects: []string{"bench.js"}, Replicas: l.replicas, Storage: jetstream.FileStorage,
		AllowDirect: true, AllowAtomicPublish: true, AllowBatchPublish: true,
	}
	stream, err := js.CreateStream(ctx, config)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("create stream: %w", err)
	}
	return connection, js, stream, nil
}
