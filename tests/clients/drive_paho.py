"""paho-mqtt, driven by lines of JSON; tests/tests/conformance/driver.rs says which."""

import json
import sys
import threading

import paho.mqtt.client as mqtt

speaking = threading.Lock()
# paho tells refusals in the codes of MQTT 5.
CODES = {132: 1, 133: 2, 136: 3, 134: 4, 135: 5}


def say(event, **details):
    with speaking:
        print(json.dumps({"event": event, **details}), flush=True)


def connected(client, userdata, flags, reason, properties):
    if reason.is_failure:
        say("refused", code=CODES[reason.value])
    else:
        say("connected", present=flags.session_present)


def received(client, userdata, message):
    say("message", topic=message.topic, payload=message.payload.decode(), qos=message.qos,
        retain=message.retain, dup=message.dup)


def connect(port, id, clean, keep_alive, user, will):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=id, protocol=mqtt.MQTTv311,
                         clean_session=clean, reconnect_on_failure=not clean)
    client.reconnect_delay_set(min_delay=0, max_delay=0)
    client.username_pw_set(user, "secret")
    if will:
        client.will_set(will["topic"], will["payload"], will["qos"], will["retain"])
    client.on_connect, client.on_message = connected, received
    client.on_disconnect = lambda *_: say("disconnected")
    client.on_subscribe = lambda client, userdata, mid, reasons, properties: say(
        "granted", codes=[reason.value for reason in reasons])
    client.on_unsubscribe = lambda *_: say("unsubscribed")
    client.on_publish = lambda *_: say("published")
    client.connect("127.0.0.1", port, keepalive=keep_alive)
    client.loop_start()
    return client


client = None
for line in sys.stdin:
    command = json.loads(line)
    do = command.pop("do")
    if do == "connect":
        client = connect(**command)
    elif do == "subscribe":
        client.subscribe([tuple(filter) for filter in command["filters"]])
    elif do == "unsubscribe":
        client.unsubscribe(command["filters"])
    elif do == "publish":
        client.publish(command["topic"], command["payload"], command["qos"], command["retain"])
    elif do == "disconnect":
        client.disconnect()
