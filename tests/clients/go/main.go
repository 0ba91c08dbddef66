// jetstream-flow walks through nats.go's jetstream package as an application would: create or update a stream and a
// consumer, publish with message ids, fetch, nak one message, get it again, ack everything. It prints one line a step and
// exits 1 at the first surprise. Usage: jetstream-flow URL[,URL...]
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const messages = 20

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: jetstream-flow URL[,URL...]")
		os.Exit(2)
	}
	if err := flow(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "FAILED:", err)
		os.Exit(1)
	}
	fmt.Println("flow complete")
}

func flow(urls string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	connection, err := nats.Connect(urls, nats.MaxReconnects(-1))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer connection.Close()
	js, err := jetstream.New(connection)
	if err != nil {
		return err
	}
	stream, err := makeStream(ctx, js)
	if err != nil {
		return err
	}
	if err := publish(ctx, js); err != nil {
		return err
	}
	consumer, err := makeConsumer(ctx, stream)
	if err != nil {
		return err
	}
	if err := consume(ctx, consumer); err != nil {
		return err
	}
	return finish(ctx, js)
}

// makeStream creates the stream, then updates it through the same call.
func makeStream(ctx context.Context, js jetstream.JetStream) (jetstream.Stream, error) {
	config := jetstream.StreamConfig{Name: "GOFLOW", Subjects: []string{"goflow.>"}, Replicas: 3}
	if _, err := js.CreateOrUpdateStream(ctx, config); err != nil {
		return nil, fmt.Errorf("create stream: %w", err)
	}
	config.Description = "updated"
	stream, err := js.CreateOrUpdateStream(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("update stream: %w", err)
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("stream info: %w", err)
	}
	if info.Config.Description != "updated" || info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != 2 {
		return nil, fmt.Errorf("stream info: %+v, cluster %+v", info.Config, info.Cluster)
	}
	fmt.Println("stream created and updated, leader", info.Cluster.Leader)
	return stream, nil
}

// publish sends every message twice with the same id; the second answer must call itself a duplicate.
func publish(ctx context.Context, js jetstream.JetStream) error {
	for i := 1; i <= messages; i++ {
		id := fmt.Sprintf("id-%d", i)
		for attempt := 0; attempt < 2; attempt++ {
			ack, err := js.Publish(ctx, "goflow.orders", []byte(id), jetstream.WithMsgID(id))
			if err != nil {
				return fmt.Errorf("publish %s: %w", id, err)
			}
			if ack.Sequence != uint64(i) || ack.Duplicate != (attempt == 1) {
				return fmt.Errorf("publish %s attempt %d: %+v", id, attempt, ack)
			}
		}
	}
	_, err := js.Publish(ctx, "goflow.orders", nil, jetstream.WithExpectLastSequence(1))
	var refusal *jetstream.APIError
	if !errors.As(err, &refusal) || refusal.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequence {
		return fmt.Errorf("a wrong expected sequence was answered with %v", err)
	}
	fmt.Println("published", messages, "messages, duplicates recognised")
	return nil
}

// makeConsumer creates a durable pull consumer, then updates it through the same call.
func makeConsumer(ctx context.Context, stream jetstream.Stream) (jetstream.Consumer, error) {
	config := jetstream.ConsumerConfig{Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 20 * time.Second}
	if _, err := stream.CreateOrUpdateConsumer(ctx, config); err != nil {
		return nil, fmt.Errorf("create consumer: %w", err)
	}
	config.MaxDeliver = 5
	consumer, err := stream.CreateOrUpdateConsumer(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("update consumer: %w", err)
	}
	if consumer.CachedInfo().Config.MaxDeliver != 5 {
		return nil, fmt.Errorf("update consumer: %+v", consumer.CachedInfo().Config)
	}
	fmt.Println("consumer created and updated")
	return consumer, nil
}

// consume naks the third message once and acks all others, then takes the third again and double-acks it.
func consume(ctx context.Context, consumer jetstream.Consumer) error {
	batch, err := consumer.Fetch(messages, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	acked := 0
	again := false
	for message := range batch.Messages() {
		metadata, err := message.Metadata()
		if err != nil {
			return err
		}
		switch {
		case metadata.Sequence.Stream == 3 && metadata.NumDelivered == 1:
			err = message.Nak()
		case metadata.Sequence.Stream == 3:
			again = true
			err = message.DoubleAck(ctx)
		default:
			acked++
			err = message.Ack()
		}
		if err != nil {
			return fmt.Errorf("answer to message %d: %w", metadata.Sequence.Stream, err)
		}
	}
	if err := batch.Error(); err != nil {
		return fmt.Errorf("fetch ended: %w", err)
	}
	if !again {
		message, err := consumer.Next(jetstream.FetchMaxWait(5 * time.Second))
		if err != nil {
			return fmt.Errorf("the nak'd message did not come again: %w", err)
		}
		metadata, _ := message.Metadata()
		if metadata.Sequence.Stream != 3 || metadata.NumDelivered != 2 {
			return fmt.Errorf("expected message 3 a second time, got %+v", metadata)
		}
		if err := message.DoubleAck(ctx); err != nil {
			return fmt.Errorf("double ack: %w", err)
		}
	}
	fmt.Println("fetched", acked+1, "messages, one of them nak'd and delivered again")
	return settled(ctx, consumer)
}

// settled waits until the consumer's info shows everything acknowledged: plain acks are not answered.
func settled(ctx context.Context, consumer jetstream.Consumer) error {
	for {
		info, err := consumer.Info(ctx)
		if err != nil {
			return fmt.Errorf("consumer info: %w", err)
		}
		if info.NumAckPending == 0 && info.NumPending == 0 && info.AckFloor.Stream == messages {
			fmt.Println("everything acknowledged")
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("never settled: %+v", info)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func finish(ctx context.Context, js jetstream.JetStream) error {
	if err := js.DeleteStream(ctx, "GOFLOW"); err != nil {
		return fmt.Errorf("delete stream: %w", err)
	}
	if _, err := js.Stream(ctx, "GOFLOW"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("the deleted stream was answered with %v", err)
	}
	fmt.Println("stream deleted")
	return nil
}
