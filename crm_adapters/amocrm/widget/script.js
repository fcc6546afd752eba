/* A click on a phone number asks Callbridge to call it. The request carries the user's one-time token. */
define(['jquery'], function () {
  'use strict';

  return function () {
    var self = this;

    function notifications() {
      return (window.APP || window.AMOCRM).notifications;
    }

    function address() {
      var typed = String(self.get_settings().address || '').trim();
      return typed.replace(/\/*$/, '/') + 'click-to-call';
    }

    function call(data) {
      self.$authorizedAjax({
        url: address(),
        type: 'POST',
        dataType: 'json',
        data: { call_to: data.value }
      }).done(function () {
        notifications().show_message({ header: self.langs.widget.name, text: self.langs.call.started });
      }).fail(function () {
        notifications().show_message_error({ header: self.langs.widget.name, text: self.langs.call.failed });
      });
    }

    this.callbacks = {
      settings: function () {
        return true;
      },
      init: function () {
        self.add_action('phone', call);
        return true;
      },
      bind_actions: function () {
        return true;
      },
      render: function () {
        return true;
      },
      destroy: function () {},
      onSave: function () {
        return true;
      }
    };

    return this;
  };
});
