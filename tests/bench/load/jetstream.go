package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// jsSync publishes one message at a time, each waiting for its PubAck.
func (l *Load) jsSync() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	connection, js, _, err := l.js(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	body := l.payload()
	samples := make([]time.Duration, 0, l.count)
	for i := 0; i < l.count+l.count/10; i++ {
		start := time.Now()
		if _, err := js.Publish(ctx, "bench.js", body); err != nil {
			return Result{}, err
		}
		if i >= l.count/10 { // the first tenth warms up
			samples = append(samples, time.Since(start))
		}
	}
	return latencies(samples), nil
}

// jsAsync publishes with up to 4,096 messages waiting for their PubAck.
func (l *Load) jsAsync() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	connection, js, _, err := l.js(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	start := time.Now()
	failed, err := l.fill(ctx, js)
	if err != nil {
		return Result{}, err
	}
	return rate(l.count-failed, time.Since(start), failed), nil
}

// fill publishes count messages asynchronously and returns how many were refused.
func (l *Load) fill(ctx context.Context, js jetstream.JetStream) (int, error) {
	body := l.payload()
	futures := make([]jetstream.PubAckFuture, 0, l.count)
	for i := 0; i < l.count; i++ {
		future, err := js.PublishMsgAsync(&nats.Msg{Subject: "bench.js", Data: body}, jetstream.WithStallWait(30*time.Second))
		if err != nil {
			return 0, err
		}
		futures = append(futures, future)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx.Done():
		return 0, errors.New("publishing did not complete")
	}
	failed := 0
	for _, future := range futures {
		select {
		case <-future.Err():
			failed++
		default:
		}
	}
	return failed, nil
}

// filled is fill where every message must be stored.
func (l *Load) filled(ctx context.Context, js jetstream.JetStream) error {
	failed, err := l.fill(ctx, js)
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d messages were refused", failed)
	}
	return err
}

// fetchAck takes what fill stored in batches of 500 and acks each message; the last ack is confirmed by the server.
func (l *Load) fetchAck() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	connection, js, stream, err := l.js(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	if err := l.filled(ctx, js); err != nil {
		return Result{}, err
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "bench", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 10000,
	})
	if err != nil {
		return Result{}, err
	}
	got := 0
	start := time.Now()
	for got < l.count {
		batch, err := consumer.Fetch(min(500, l.count-got), jetstream.FetchMaxWait(10*time.Second))
		if err != nil {
			return Result{}, err
		}
		before := got
		for message := range batch.Messages() {
			got++
			if got == l.count {
				err = message.DoubleAck(ctx)
			} else {
				err = message.Ack()
			}
			if err != nil {
				return Result{}, err
			}
		}
		if got == before {
			return Result{}, fmt.Errorf("fetch came back empty after %d messages: %w", got, batch.Error())
		}
	}
	return rate(got, time.Since(start), 0), nil
}

// idleConsumers makes count durable consumers on an R-replicated stream and leaves them idle; memory is read afterwards.
func (l *Load) idleConsumers() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	connection, _, stream, err := l.js(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	start := time.Now()
	for i := 0; i < l.count; i++ {
		config := jetstream.ConsumerConfig{Durable: fmt.Sprintf("idle-%d", i), AckPolicy: jetstream.AckExplicitPolicy}
		if _, err := stream.CreateConsumer(ctx, config); err != nil {
			return Result{}, err
		}
	}
	return rate(l.count, time.Since(start), 0), nil
}
