// npm mqtt, driven by lines of JSON; tests/tests/conformance/driver.rs says which.

const readline = require('readline')
const mqtt = require('mqtt')

const say = (event, details) => process.stdout.write(JSON.stringify({ event, ...details }) + '\n')

function connect ({ port, id: clientId, clean, keep_alive: keepalive, user: username, will }) {
  const client = mqtt.connect({
    host: '127.0.0.1',
    port,
    clientId,
    clean,
    keepalive,
    username,
    password: 'secret',
    will: will || undefined,
    protocolVersion: 4,
    resubscribe: false,
    reconnectPeriod: clean ? 0 : 1
  })
  client.on('connect', ({ sessionPresent: present }) => say('connected', { present }))
  client.on('error', ({ code }) => { if (typeof code === 'number') say('refused', { code }) })
  client.on('close', () => say('disconnected'))
  client.on('message', (topic, payload, { qos, retain, dup }) => {
    say('message', { topic, payload: payload.toString(), qos, retain, dup })
  })
  client.on('packetreceive', ({ cmd, granted: codes }) => {
    if (cmd === 'suback') say('granted', { codes })
    if (cmd === 'unsuback') say('unsubscribed')
  })
  return client
}

let client
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line)
  switch (command.do) {
    case 'connect':
      client = connect(command)
      break
    case 'subscribe': {
      const filters = Object.fromEntries(command.filters.map(([filter, qos]) => [filter, { qos }]))
      // Without this it keeps a filter that it has already to itself. Refusals come with the packet.
      client.subscribe({ ...filters, resubscribe: true }, () => {})
      break
    }
    case 'unsubscribe':
      client.unsubscribe(command.filters)
      break
    case 'publish': {
      const { topic, payload, qos, retain } = command
      client.publish(topic, payload, { qos, retain }, (error) => { if (!error) say('published') })
      break
    }
    case 'disconnect':
      client.end()
  }
}).on('close', () => process.exit())
