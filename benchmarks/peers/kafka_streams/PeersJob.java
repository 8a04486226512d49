import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.time.Instant;
import java.util.PriorityQueue;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The peers' job on Kafka Streams: see job.py for what it is.
 *
 * <p>The Processor API with one persistent store (RocksDB) and its changelog topic, at least once, as the documentation
 * has it for state with timers: the DSL's windows would count in a store per window, which costs more. What is kept of a
 * user is a few fixed-width numbers (no JSON), events are decoded by Jackson into the four fields that are needed, and
 * the store's cache (64 MiB) joins the writes of one user between two commits, so that the changelog gets one of them
 * for each commit interval. Deadlines wait in a heap per partition, rebuilt from the store at the start; a punctuation
 * by stream time looks at them once a minute of event time. One stream thread: one core, though the JVM compiles and
 * collects garbage on others, which CPU-seconds count.
 *
 * <p>Settings come from the environment: BROKERS, EVENTS_TOPIC, CHANGES_TOPIC, APP, STATE_DIR, PROGRESS.
 */
public final class PeersJob {
  static final long ABANDONED_AFTER = 30 * 60_000L;
  static final long DAY = 24 * 3_600_000L;
  static final int KEEN = 10;
  static final long NONE = Long.MIN_VALUE;
  static final AtomicLong EVENTS = new AtomicLong();
  static final AtomicLong CHANGES = new AtomicLong();

  @JsonIgnoreProperties(ignoreUnknown = true)
  record Event(
      @JsonProperty("type") String type,
      @JsonProperty("time") String time,
      @JsonProperty("user_id") String userId,
      @JsonProperty("anonymous_id") String anonymousId) {
    String user() {
      return userId == null || userId.isEmpty() ? anonymousId : userId;
    }
  }

  /** What is kept of a user: the newest cart, the newest ten views in order, and the two memberships. */
  static final class State {
    long cart = NONE;
    boolean abandoned;
    boolean keen;
    int views;
    final long[] times = new long[KEEN];

    static State of(byte[] bytes) {
      State state = new State();
      if (bytes != null) {
        ByteBuffer in = ByteBuffer.wrap(bytes);
        state.cart = in.getLong();
        state.abandoned = in.get() == 1;
        state.keen = in.get() == 1;
        state.views = in.get();
        for (int at = 0; at < state.views; at++) state.times[at] = in.getLong();
      }
      return state;
    }

    byte[] bytes() {
      ByteBuffer out = ByteBuffer.allocate(11 + 8 * views);
      out.putLong(cart).put((byte) (abandoned ? 1 : 0)).put((byte) (keen ? 1 : 0)).put((byte) views);
      for (int at = 0; at < views; at++) out.putLong(times[at]);
      return out.array();
    }

    long due() {
      long due = cart == NONE || abandoned ? Long.MAX_VALUE : cart + ABANDONED_AFTER;
      return keen ? Math.min(due, times[0] + DAY) : due;
    }

    void view(long time) {
      if (views == KEEN) System.arraycopy(times, 1, times, 0, --views);
      times[views++] = time;
    }
  }

  record Deadline(long due, String user) implements Comparable<Deadline> {
    @Override
    public int compareTo(Deadline other) {
      return Long.compare(due, other.due);
    }
  }

  static final class Watch implements Processor<String, byte[], String, byte[]> {
    private final ObjectReader reader = new ObjectMapper(new JsonFactory()).readerFor(Event.class);
    private final PriorityQueue<Deadline> deadlines = new PriorityQueue<>();
    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, byte[]> users;

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
      this.context = context;
      users = context.getStateStore("users");
      try (KeyValueIterator<String, byte[]> all = users.all()) {
        while (all.hasNext()) {
          KeyValue<String, byte[]> each = all.next();
          await(each.key, State.of(each.value));
        }
      }
      context.schedule(Duration.ofMinutes(1), PunctuationType.STREAM_TIME, this::fire);
    }

    @Override
    public void process(Record<String, byte[]> record) {
      EVENTS.incrementAndGet();
      try {
        Event event = reader.readValue(record.value());
        int kind =
            switch (event.type()) {
              case "product_viewed" -> 0;
              case "product_added" -> 1;
              case "order_completed" -> 2;
              default -> 3;
            };
        if (kind == 3) return;
        long time = Instant.parse(event.time()).toEpochMilli();
        String user = event.user();
        byte[] stored = users.get(user);
        if (stored == null && kind == 2) return;
        State state = State.of(stored);
        long due = state.due();
        advance(user, state, time);
        if (kind == 0) {
          state.view(time);
          if (!state.keen && state.views == KEEN && state.times[0] > time - DAY) {
            state.keen = true;
            tell(user, "keen_browser", "entered", time);
          }
        } else if (kind == 1) {
          state.cart = time;
        } else {
          if (state.abandoned) tell(user, "cart_abandoned", "exited", time);
          state.cart = NONE;
          state.abandoned = false;
        }
        users.put(user, state.bytes());
        if (state.due() != due) await(user, state);
      } catch (java.io.IOException error) {
        throw new IllegalArgumentException("a record that is no event", error);
      }
    }

    private void fire(long now) {
      while (!deadlines.isEmpty() && deadlines.peek().due() < now) {
        Deadline deadline = deadlines.poll();
        State state = State.of(users.get(deadline.user()));
        if (state.due() == deadline.due()) {
          advance(deadline.user(), state, deadline.due() + 1);
          users.put(deadline.user(), state.bytes());
          await(deadline.user(), state);
        }
      }
    }

    private void advance(String user, State state, long before) {
      for (long due = state.due(); due < before; due = state.due()) {
        if (state.keen && state.times[0] + DAY == due) {
          state.keen = false;
          tell(user, "keen_browser", "exited", due);
        } else {
          state.abandoned = true;
          tell(user, "cart_abandoned", "entered", due);
        }
      }
    }

    private void await(String user, State state) {
      if (state.due() != Long.MAX_VALUE) deadlines.add(new Deadline(state.due(), user));
    }

    private void tell(String user, String segment, String type, long at) {
      CHANGES.incrementAndGet();
      String value =
          "{\"user\":\"" + user + "\",\"segment\":\"" + segment + "\",\"type\":\"" + type + "\",\"at\":" + at + "}";
      context.forward(new Record<>(user, value.getBytes(StandardCharsets.UTF_8), at));
    }
  }

  public static void main(String[] arguments) throws Exception {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, System.getenv("APP"));
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, System.getenv("BROKERS"));
    settings.put(StreamsConfig.STATE_DIR_CONFIG, System.getenv("STATE_DIR"));
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);

    Topology topology = new Topology();
    topology.addSource(
        "events", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(), System.getenv("EVENTS_TOPIC"));
    topology.addProcessor("watch", Watch::new, "events");
    topology.addStateStore(
        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("users"), Serdes.String(), Serdes.ByteArray())
            .withCachingEnabled(),
        "watch");
    topology.addSink(
        "changes", System.getenv("CHANGES_TOPIC"), Serdes.String().serializer(), Serdes.ByteArray().serializer(), "watch");

    Path target = Path.of(System.getenv("PROGRESS"));
    report(target);
    KafkaStreams streams = new KafkaStreams(topology, settings);
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
    while (true) {
      Thread.sleep(200);
      report(target);
    }
  }

  private static void report(Path target) throws java.io.IOException {
    Path staging = target.resolveSibling(target.getFileName() + ".new");
    Files.writeString(staging, EVENTS.get() + " " + CHANGES.get());
    Files.move(staging, target, StandardCopyOption.REPLACE_EXISTING);
  }
}
