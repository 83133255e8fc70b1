"""S4: producer and consumer: `switch(value)` hands a value over, its result is the partner's answer."""

from __future__ import annotations

from greenlet import greenlet


def produce() -> None:
    for item in ("bread", "butter", "jam"):
        print("producer: here is", item)
        print("producer: heard", consumer.switch(item))
    print("producer: in all", consumer.switch(None))


def consume(item: str | None) -> str:
    eaten = 0
    while item is not None:
        print("consumer: got", item)
        eaten += 1
        item = producer.switch(f"thanks for the {item}")
    return f"{eaten} eaten"


producer = greenlet(produce)
consumer = greenlet(consume, parent=producer)
producer.switch()


def answers(*arguments: object, **keywords: object) -> object:
    while True:
        arguments, keywords = consumer.parent.switch((arguments, keywords)), {}


consumer = greenlet(answers)
print(consumer.switch(), consumer.switch(1, 2), consumer.switch([3]))
try:
    consumer.throw(ValueError("no more"))
except ValueError as error:
    print("raised in main:", error, consumer.dead, consumer.switch())
