//! MQTT 3.1.1 as other people understand it, against our broker: their clients (mosquitto's, paho-mqtt, gmqtt, npm mqtt)
//! and their codec (npm mqtt-packet). Which statement of the standard which test shows stands in docs/mqtt.md.

mod codec;
mod driver;
mod line;
mod messages;
mod mosquitto;
mod redelivery;
mod retained;
mod sessions;
mod table;
mod topics;
mod wills;
