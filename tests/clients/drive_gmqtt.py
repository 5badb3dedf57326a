"""gmqtt, driven by lines of JSON; tests/tests/conformance/driver.rs says which."""

import asyncio
import json
import sys

import gmqtt
from gmqtt.mqtt.constants import MQTTv311
from gmqtt.mqtt.handler import MQTTConnectError
from gmqtt.storage import PersistentStorage


def say(event, **details):
    print(json.dumps({"event": event, **details}), flush=True)


class Unacknowledged(PersistentStorage):
    """What gmqtt forgets only when the last acknowledgement came."""

    def remove_message_by_mid(self, mid):
        super().remove_message_by_mid(mid)
        say("published")


def received(client, topic, payload, qos, properties):
    say("message", topic=topic, payload=payload.decode(), qos=qos, retain=bool(properties["retain"]),
        dup=bool(properties["dup"]))


async def connect(port, id, clean, keep_alive, user, will):
    last = gmqtt.Message(will["topic"], will["payload"], will["qos"], will["retain"]) if will else None
    client = gmqtt.Client(id, clean_session=clean, will_message=last, persistent_storage=Unacknowledged())
    never, always = -2, -1
    client.set_config({"reconnect_delay": 0, "reconnect_retries": never if clean else always})
    client.set_auth_credentials(user, "secret")
    client.on_connect = lambda client, present, code, properties: say("connected", present=bool(present))
    client.on_message = received
    client.on_disconnect = lambda *_: say("disconnected")
    client.on_subscribe = lambda client, mid, codes, properties: say("granted", codes=list(codes))
    client.on_unsubscribe = lambda *_: say("unsubscribed")
    try:
        await client.connect("127.0.0.1", port, keepalive=keep_alive, version=MQTTv311)
    except MQTTConnectError as refusal:
        say("refused", code=refusal._code)
    return client


async def main():
    commands = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    client = None
    async for line in commands:
        command = json.loads(line)
        do = command.pop("do")
        if do == "connect":
            client = await connect(**command)
        elif do == "subscribe":
            client.subscribe([gmqtt.Subscription(filter, qos=qos) for filter, qos in command["filters"]])
        elif do == "unsubscribe":
            # As bytes: of a text it counts characters where the standard counts bytes.
            client.unsubscribe([filter.encode() for filter in command["filters"]])
        elif do == "publish":
            client.publish(command["topic"], command["payload"], command["qos"], command["retain"])
            if command["qos"] == 0:
                say("published")
        elif do == "disconnect":
            await client.disconnect()


asyncio.run(main())
