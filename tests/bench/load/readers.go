package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const readerConnections = 20 // that the push consumers of a fan-out share

// orderedPush reads a filled stream through an ordered push consumer.
func (l *Load) orderedPush() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	connection, js, _, err := l.js(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	if err := l.filled(ctx, js); err != nil {
		return Result{}, err
	}
	old, err := connection.JetStream()
	if err != nil {
		return Result{}, err
	}
	got := 0
	done := make(chan struct{})
	start := time.Now()
	subscription, err := old.Subscribe("bench.js", func(*nats.Msg) {
		got++
		if got == l.count {
			close(done)
		}
	}, nats.OrderedConsumer(), nats.BindStream("BENCH"))
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = subscription.Unsubscribe() }()
	select {
	case <-done:
	case <-ctx.Done():
		return Result{}, fmt.Errorf("%d of %d messages came", got, l.count)
	}
	return rate(l.count, time.Since(start), 0), nil
}

// pushFanOut has n push consumers on one stream, then publishes to it; the rate is deliveries a second.
func (l *Load) pushFanOut(n int) (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	connection, js, stream, err := l.js(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	var received atomic.Int64
	total := int64(l.count) * int64(n)
	done := make(chan struct{})
	readers := make([]*nats.Conn, min(n, readerConnections))
	for i := range readers {
		if readers[i], err = l.connect(); err != nil {
			return Result{}, err
		}
		defer readers[i].Close()
	}
	for i := 0; i < n; i++ {
		inbox := fmt.Sprintf("bench.push.%d", i)
		reader := readers[i%len(readers)]
		subscription, err := reader.Subscribe(inbox, func(*nats.Msg) {
			if received.Add(1) == total {
				close(done)
			}
		})
		if err != nil {
			return Result{}, err
		}
		_ = subscription.SetPendingLimits(-1, -1)
		if err := reader.Flush(); err != nil {
			return Result{}, err
		}
		config := jetstream.ConsumerConfig{
			Durable: fmt.Sprintf("push-%d", i), DeliverSubject: inbox, AckPolicy: jetstream.AckNonePolicy,
		}
		if _, err := stream.CreatePushConsumer(ctx, config); err != nil {
			return Result{}, err
		}
	}
	start := time.Now()
	if err := l.filled(ctx, js); err != nil {
		return Result{}, err
	}
	select {
	case <-done:
	case <-time.After(time.Minute):
	}
	return rate(int(total), time.Since(start), int(total-received.Load())), nil
}

// follow makes a mirror or a stream with a source of a filled stream, and waits until it has everything.
func (l *Load) follow(config jetstream.StreamConfig) (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	connection, js, _, err := l.js(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	if err := l.filled(ctx, js); err != nil {
		return Result{}, err
	}
	config.Name, config.Replicas, config.Storage = "FOLLOWER", l.replicas, jetstream.FileStorage
	_ = js.DeleteStream(ctx, config.Name)
	start := time.Now()
	follower, err := js.CreateStream(ctx, config)
	if err != nil {
		return Result{}, err
	}
	for {
		info, err := follower.Info(ctx)
		if err != nil {
			return Result{}, err
		}
		if info.State.Msgs >= uint64(l.count) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	took := time.Since(start)
	_ = js.DeleteStream(ctx, config.Name)
	return rate(l.count, took, 0), nil
}

func (l *Load) mirror() (Result, error) {
	return l.follow(jetstream.StreamConfig{Mirror: &jetstream.StreamSource{Name: "BENCH"}})
}

func (l *Load) source() (Result, error) {
	return l.follow(jetstream.StreamConfig{Sources: []*jetstream.StreamSource{{Name: "BENCH"}}})
}
