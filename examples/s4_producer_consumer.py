"""A producer and a consumer without a queue: `switch` hands a value over and returns the partner's answer."""

from greenswitch import greenlet


def produce() -> None:
    for item in ("bread", "butter", "jam"):
        print("producer: here is", item)
        answer = consumer.switch(item)
        print("producer: heard", answer)
    total = consumer.switch(None)
    print("producer: in all", total)


def consume(item: str | None) -> str:
    eaten = 0
    while item is not None:
        print("consumer: got", item)
        eaten += 1
        item = producer.switch(f"thanks for the {item}")
    return f"{eaten} eaten"


producer = greenlet(produce)
# What a greenlet returns goes to its parent, as the result of the parent's switch.
consumer = greenlet(consume, parent=producer)
producer.switch()
