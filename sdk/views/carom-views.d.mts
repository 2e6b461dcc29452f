export * from './carom-views.js'
