package main

import (
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const window = 32768 // messages a publisher may be ahead of the slowest subscriber

// corePub publishes to nobody; the closing flush proves that the server has read everything.
func (l *Load) corePub() (Result, error) {
	connection, err := l.connect()
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	body := l.payload()
	start := time.Now()
	for i := 0; i < l.count; i++ {
		if err := connection.Publish("bench.core", body); err != nil {
			return Result{}, err
		}
	}
	if err := connection.FlushTimeout(time.Minute); err != nil {
		return Result{}, err
	}
	return rate(l.count, time.Since(start), 0), nil
}

// fanOut publishes to n subscribers, each on its own connection, and counts deliveries.
func (l *Load) fanOut(n int) (Result, error) {
	received := make([]atomic.Int64, n)
	progress := make(chan struct{}, 1)
	for i := range received {
		connection, err := l.connect()
		if err != nil {
			return Result{}, err
		}
		defer connection.Close()
		counter := &received[i]
		subscription, err := connection.Subscribe("bench.core", func(*nats.Msg) {
			if counter.Add(1)%512 == 0 || counter.Load() == int64(l.count) {
				select {
				case progress <- struct{}{}:
				default:
				}
			}
		})
		if err != nil {
			return Result{}, err
		}
		_ = subscription.SetPendingLimits(-1, -1)
		if err := connection.Flush(); err != nil {
			return Result{}, err
		}
	}
	publisher, err := l.connect()
	if err != nil {
		return Result{}, err
	}
	defer publisher.Close()
	slowest := func() int64 {
		least := received[0].Load()
		for i := range received {
			least = min(least, received[i].Load())
		}
		return least
	}
	body := l.payload()
	deadline := time.After(2 * time.Minute)
	waitFor := func(goal int64) bool {
		for slowest() < goal {
			select {
			case <-progress:
			case <-deadline:
				return false
			}
		}
		return true
	}
	start := time.Now()
	for i := 0; i < l.count; i++ {
		if i%256 == 0 && int64(i)-slowest() > window {
			_ = publisher.Flush()
			if !waitFor(int64(i) - window/2) {
				break
			}
		}
		if err := publisher.Publish("bench.core", body); err != nil {
			return Result{}, err
		}
	}
	if err := publisher.FlushTimeout(time.Minute); err != nil {
		return Result{}, err
	}
	waitFor(int64(l.count))
	took := time.Since(start)
	lost := 0
	for i := range received {
		lost += l.count - int(received[i].Load())
	}
	return rate(l.count*n, took, lost), nil
}

// request asks a responder on another connection, one question at a time.
func (l *Load) request() (Result, error) {
	responder, err := l.connect()
	if err != nil {
		return Result{}, err
	}
	defer responder.Close()
	if _, err := responder.Subscribe("bench.ask", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		return Result{}, err
	}
	if err := responder.Flush(); err != nil {
		return Result{}, err
	}
	asker, err := l.connect()
	if err != nil {
		return Result{}, err
	}
	defer asker.Close()
	body := l.payload()
	samples := make([]time.Duration, 0, l.count)
	for i := 0; i < l.count; i++ {
		start := time.Now()
		if _, err := asker.Request("bench.ask", body, 5*time.Second); err != nil {
			return Result{}, err
		}
		samples = append(samples, time.Since(start))
	}
	return latencies(samples), nil
}
