package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const unackedMax = 200_000 // max_ack_pending of the consumer whose messages pile up

// large publishes messages of --size bytes one at a time, then fetches and acks them; the rate is megabytes a second
// of both together.
func (l *Load) large() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), manyTimeout)
	defer cancel()
	connection, js, stream, err := l.js(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "large", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		return Result{}, err
	}
	body := l.payload()
	start := time.Now()
	for i := 0; i < l.count; i++ {
		if _, err := js.Publish(ctx, "bench.js", body); err != nil {
			return Result{}, err
		}
	}
	published := time.Since(start)
	for i := 0; i < l.count; i++ {
		message, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
		if err != nil {
			return Result{}, err
		}
		if len(message.Data()) != l.size {
			return Result{}, fmt.Errorf("%d bytes came", len(message.Data()))
		}
		if err := message.DoubleAck(ctx); err != nil {
			return Result{}, err
		}
	}
	result := l.megabytes(time.Since(start))
	result.P50us = float64(published.Microseconds()) / float64(l.count)
	return result, nil
}

// pending is a consumer of a stream with messages; made on first use.
func (l *Load) pending(ctx context.Context) (*nats.Conn, jetstream.JetStream, jetstream.Consumer, error) {
	connection, err := l.connect()
	if err != nil {
		return nil, nil, nil, err
	}
	js, err := jetstream.New(connection, jetstream.WithPublishAsyncMaxPending(4096), jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		return nil, nil, nil, err
	}
	config := jetstream.StreamConfig{Name: "BENCH", Subjects: []string{"bench.js"}, Replicas: l.replicas, Storage: jetstream.FileStorage}
	stream, err := js.CreateOrUpdateStream(ctx, config)
	if err != nil {
		return nil, nil, nil, err
	}
	consumer, err := stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "pending", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: unackedMax, AckWait: time.Hour,
	})
	return connection, js, consumer, err
}

// pendingFill stores count messages that wait for a consumer.
func (l *Load) pendingFill() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), manyTimeout)
	defer cancel()
	connection, js, _, err := l.pending(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	start := time.Now()
	failed, err := l.fill(ctx, js)
	if err != nil {
		return Result{}, err
	}
	return rate(l.count, time.Since(start), failed), nil
}

// pendingFetch takes count messages and acks none of them.
func (l *Load) pendingFetch() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), manyTimeout)
	defer cancel()
	connection, _, consumer, err := l.pending(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	got := 0
	start := time.Now()
	for got < l.count {
		batch, err := consumer.Fetch(min(1000, l.count-got), jetstream.FetchMaxWait(30*time.Second))
		if err != nil {
			return Result{}, err
		}
		before := got
		for range batch.Messages() {
			got++
		}
		if got == before {
			return Result{}, fmt.Errorf("a fetch came back empty after %d messages: %w", got, batch.Error())
		}
	}
	return rate(got, time.Since(start), 0), nil
}

// pendingAck acks count messages that were fetched before; the last ack is confirmed. Who has them now does not matter:
// the subject of an ack says which message is meant.
func (l *Load) pendingAck() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), manyTimeout)
	defer cancel()
	connection, _, consumer, err := l.pending(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	start := time.Now()
	for i := 1; i < l.count; i++ {
		if err := connection.Publish(ackSubject(i), []byte("+ACK")); err != nil {
			return Result{}, err
		}
	}
	if _, err := connection.Request(ackSubject(l.count), []byte("+ACK"), time.Minute); err != nil {
		return Result{}, err
	}
	took := time.Since(start)
	info, err := consumer.Info(ctx)
	if err != nil {
		return Result{}, err
	}
	return rate(l.count, took, info.NumAckPending), nil
}

func ackSubject(sequence int) string {
	return fmt.Sprintf("$JS.ACK.BENCH.pending.1.%d.%d.%d.0", sequence, sequence, time.Now().UnixNano())
}

// pendingLeader has the consumer's leader step down and waits until the next one answers for all that is pending.
func (l *Load) pendingLeader() (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), manyTimeout)
	defer cancel()
	connection, _, consumer, err := l.pending(ctx)
	if err != nil {
		return Result{}, err
	}
	defer connection.Close()
	info, err := consumer.Info(ctx)
	if err != nil {
		return Result{}, err
	}
	before := info.Cluster.Leader
	start := time.Now()
	if _, err := connection.Request("$JS.API.CONSUMER.LEADER.STEPDOWN.BENCH.pending", nil, time.Minute); err != nil {
		return Result{}, err
	}
	for {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		info, err = consumer.Info(attempt)
		cancel()
		if err == nil && info.Cluster.Leader != "" && info.Cluster.Leader != before {
			break
		}
		if ctx.Err() != nil {
			return Result{}, ctx.Err()
		}
	}
	took := time.Since(start)
	return Result{Count: 1, P50us: float64(took.Microseconds()), Errors: l.count - info.NumAckPending}, nil
}
